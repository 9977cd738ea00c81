// Gorilla's websocket, a library of Go, as a peer.
//
//	peer client URL LABEL OPTIONS    checks the server; OPTIONS are words of `deflate declined takeover endpoint topics`
//	peer server PORT plain|deflate   the server that scripts/websocket_peers.sh describes
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

const text, bin = websocket.TextMessage, websocket.BinaryMessage

var fragments = strings.Repeat("fragment ", 3000)
var url, label, options string

func has(word string) bool { return strings.Contains(options, word) }

// Ends a check; it is told as failed.
func need(err error) {
	if err != nil {
		panic(err)
	}
}

func same(found, expected interface{}) {
	f, e := fmt.Sprintf("%q", found), fmt.Sprintf("%q", expected)
	if f != e {
		panic(fmt.Sprintf("%.200s instead of %.200s", f, e))
	}
}

func open(offered ...string) (*websocket.Conn, *http.Response) {
	dialer := websocket.Dialer{
		Subprotocols:      offered,
		EnableCompression: has("deflate") || has("declined"),
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		HandshakeTimeout:  20 * time.Second,
	}
	ws, response, err := dialer.Dial(url, nil)
	need(err)
	ws.SetReadDeadline(time.Now().Add(60 * time.Second))
	return ws, response
}

func next(ws *websocket.Conn, kind int, expected []byte) {
	found, message, err := ws.ReadMessage()
	need(err)
	same(found, kind)
	if !bytes.Equal(message, expected) {
		same(message, expected)
	}
}

func echo(ws *websocket.Conn, kind int, message []byte) {
	need(ws.WriteMessage(kind, message))
	next(ws, kind, message)
}

// The code and the reason with which the server closes.
func closed(ws *websocket.Conn) (int, string) {
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			told, ok := err.(*websocket.CloseError)
			if !ok {
				panic(err)
			}
			return told.Code, told.Text
		}
	}
}

// Sends a ping, within another message or not, and returns what its pong has, as soon as a message behind it comes.
func ping(ws *websocket.Conn, payload string) *string {
	pong := new(string)
	*pong = "no pong"
	ws.SetPongHandler(func(data string) error { *pong = data; return nil })
	need(ws.WriteControl(websocket.PingMessage, []byte(payload), time.Now().Add(time.Minute)))
	return pong
}

type check struct {
	name string
	run  func(ws *websocket.Conn, response *http.Response)
}

var common = []check{
	{"extensions", func(ws *websocket.Conn, response *http.Response) {
		told := response.Header.Get("sec-websocket-extensions")
		same(strings.Contains(told, "permessage-deflate"), has("deflate"))
	}},
	{"echoes", func(ws *websocket.Conn, _ *http.Response) {
		for _, message := range []string{"text", "grüße, 世界 🌍", "", strings.Repeat("a", 126)} {
			echo(ws, text, []byte(message))
		}
		for _, message := range [][]byte{{}, {0, 255}, make([]byte, 65536)} {
			echo(ws, bin, message)
		}
	}},
	{"large", func(ws *websocket.Conn, _ *http.Response) {
		random := make([]byte, 1<<20)
		rand.Read(random)
		echo(ws, bin, random)
		echo(ws, text, []byte(strings.Repeat("sixteen letters.", 1<<16)))
	}},
	{"many", func(ws *websocket.Conn, _ *http.Response) {
		message := func(n int) []byte { return []byte(strings.Repeat(fmt.Sprintf("message %d ", n), 20)) }
		for n := 0; n < 200; n++ {
			need(ws.WriteMessage(text, message(n)))
		}
		for n := 0; n < 200; n++ {
			next(ws, text, message(n))
		}
	}},
	{"fragments", func(ws *websocket.Conn, _ *http.Response) {
		// The writer sends a frame whenever its buffer is full.
		message := []byte(strings.Repeat("grüße ", 5000))
		writer, err := ws.NextWriter(text)
		need(err)
		_, err = writer.Write(message[:20001])
		need(err)
		pong := ping(ws, "between")
		_, err = writer.Write(message[20001:])
		need(err)
		need(writer.Close())
		next(ws, text, message)
		same(*pong, "between")
	}},
	{"pings", func(ws *websocket.Conn, _ *http.Response) {
		for _, payload := range []string{"", "ping", strings.Repeat("p", 125)} {
			pong := ping(ws, payload)
			echo(ws, text, []byte("behind the ping"))
			same(*pong, payload)
		}
	}},
	{"subprotocol", func(ws *websocket.Conn, _ *http.Response) { same(ws.Subprotocol(), "chat.v1") }},
	{"close", func(ws *websocket.Conn, _ *http.Response) {
		need(ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4321, "done hère")))
		code, _ := closed(ws)
		same(code, 4321)
	}},
}

var proxied = []check{
	{"server pings", func(ws *websocket.Conn, _ *http.Response) {
		need(ws.WriteMessage(text, []byte("ping")))
		next(ws, text, []byte("pong from server"))
	}},
	{"server fragments", func(ws *websocket.Conn, _ *http.Response) {
		need(ws.WriteMessage(text, []byte("fragments")))
		next(ws, text, []byte(fragments))
	}},
	{"server closes", func(ws *websocket.Conn, _ *http.Response) {
		need(ws.WriteMessage(text, []byte("close 4444 that is äll")))
		code, reason := closed(ws)
		same(code, 4444)
		same(reason, "that is äll")
	}},
}

var endpoint = []check{
	{"not utf8", func(ws *websocket.Conn, _ *http.Response) {
		need(ws.WriteMessage(text, []byte{0xc3, 0x28}))
		code, _ := closed(ws)
		same(code, 1007)
	}},
	{"too large", func(ws *websocket.Conn, _ *http.Response) {
		for _, size := range []int{1<<20 + 1, 1 << 23} {
			other, _ := open("chat.v1")
			// It may fail while the server closes.
			go other.WriteMessage(bin, make([]byte, size))
			code, _ := closed(other)
			same(code, 1009)
			other.Close()
		}
	}},
}

var topics = []check{
	{"topics json", func(ws *websocket.Conn, _ *http.Response) {
		topic := fmt.Sprintf("go/%d", time.Now().UnixNano())
		need(ws.WriteMessage(text, []byte(`{"op":"subscribe","topic":"`+topic+`/+","id":1}`)))
		next(ws, text, []byte(`{"op":"ok","id":1}`))
		need(ws.WriteMessage(text, []byte(`{"op":"publish","topic":"`+topic+`/a","data":{"x":"ü"}}`)))
		next(ws, text, []byte(`{"op":"message","topic":"`+topic+`/a","data":{"x":"ü"}}`))
	}},
	{"topics binary", func(ws *websocket.Conn, _ *http.Response) {
		topic := fmt.Sprintf("go/%d", time.Now().UnixNano())
		need(ws.WriteMessage(bin, []byte("\x01\x00\x00\x00\x07"+topic)))
		next(ws, bin, []byte{0x81, 0, 0, 0, 7})
		named := append([]byte{0, 0, 0}, topic+"payload"...)
		binary.BigEndian.PutUint16(named[1:], uint16(len(topic)))
		need(ws.WriteMessage(bin, append([]byte{3, 0, 0, 0, 0}, named...)))
		next(ws, bin, append([]byte{0x83}, named...))
	}},
}

func run(one check) {
	defer func() {
		if failure := recover(); failure != nil {
			fmt.Printf("FAILED  %s: %s: %v\n", label, one.name, failure)
		}
	}()
	offered := []string{"none.v9", "chat.v1"}
	if has("topics") {
		offered = []string{"ringway." + strings.Replace(one.name, " ", ".v1.", 1)}
	}
	ws, response := open(offered...)
	defer ws.Close()
	one.run(ws, response)
	fmt.Printf("ok      %s: %s\n", label, one.name)
}

func answer(ws *websocket.Conn) {
	defer ws.Close()
	ws.SetPongHandler(func(string) error { return ws.WriteMessage(text, []byte("pong from server")) })
	for {
		kind, message, err := ws.ReadMessage()
		if told, ok := err.(*websocket.CloseError); ok {
			fmt.Println("closed", told.Code, told.Text)
			return
		} else if err != nil {
			fmt.Println("error", err)
			return
		}
		words := strings.SplitN(string(message), " ", 3)
		switch {
		case kind == text && words[0] == "ping":
			ws.WriteControl(websocket.PingMessage, []byte("from server"), time.Now().Add(time.Minute))
		case kind == text && words[0] == "fragments":
			writer, _ := ws.NextWriter(text)
			for at := 0; at < len(fragments); at += 4000 {
				end := at + 4000
				if end > len(fragments) {
					end = len(fragments)
				}
				writer.Write([]byte(fragments[at:end]))
			}
			writer.Close()
		case kind == text && words[0] == "close":
			code, _ := strconv.Atoi(words[1])
			ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, words[2]))
		default:
			ws.WriteMessage(kind, message)
		}
	}
}

func main() {
	if os.Args[1] == "server" {
		upgrader := websocket.Upgrader{
			Subprotocols:      []string{"chat.v1"},
			EnableCompression: os.Args[3] == "deflate",
			CheckOrigin:       func(*http.Request) bool { return true },
		}
		need(http.ListenAndServe("127.0.0.1:"+os.Args[2], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ws, err := upgrader.Upgrade(w, r, nil); err == nil {
				answer(ws)
			}
		})))
	}
	url, label, options = os.Args[2], os.Args[3], os.Args[4]
	checks := append(common, proxied...)
	if has("endpoint") {
		checks = append(common, endpoint...)
	}
	if has("topics") {
		checks = topics
	}
	for _, one := range checks {
		run(one)
	}
	fmt.Println("done")
}
