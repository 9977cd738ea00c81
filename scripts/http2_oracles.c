/* nghttp2 as a judge, by commands on standard input, each answered by lines of which the last one is
 * a dot:
 *
 *   C             a new connection, of which it is the server
 *   S HEX         bytes come
 *   I             a new table of header compression, of a reader
 *   B HEX         a block to read
 *   D             a new table of header compression, of a writer
 *   Z NUMBER      bytes that the other end's table may have
 *   F HEX HEX ... names and values to write
 *
 * Called by http2_oracles.py. Needs libnghttp2.
 */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1 << 22, FIELDS = 256, MAX_STREAMS = 100, MAX_LIST = 65536 };

static char line[LINE_MAX_BYTES];
static unsigned char bytes[LINE_MAX_BYTES / 2];

static void put_hex(const uint8_t *data, size_t len) {
    for (size_t at = 0; at < len; at++) {
        printf("%02x", data[at]);
    }
}

static size_t read_hex(const char *text, unsigned char *out) {
    size_t len = 0;
    unsigned value;
    while (sscanf(text + 2 * len, "%2x", &value) == 1) {
        out[len++] = (unsigned char)value;
    }
    return len;
}

/* What is left of the answer to a stream. */
static ssize_t read_answer(nghttp2_session *session, int32_t stream, uint8_t *out, size_t most, uint32_t *flags,
                           nghttp2_data_source *source, void *user) {
    (void)session, (void)stream, (void)user;
    size_t len = (size_t)source->fd < most ? (size_t)source->fd : most;
    memset(out, 'x', len);
    source->fd -= (int)len;
    if (source->fd == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)len;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user) {
    (void)flags, (void)user;
    printf("field %d ", frame->hd.stream_id);
    put_hex(name, name_len);
    printf(" ");
    put_hex(value, value_len);
    printf("\n");
    if (name_len == 7 && memcmp(name, ":method", 7) == 0 && value_len == 4 && memcmp(value, "HEAD", 4) == 0) {
        static int is_head;
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, &is_head);
    }
    return 0;
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    (void)session, (void)user;
    printf("begin %d\n", frame->hd.stream_id);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t len,
                   void *user) {
    (void)session, (void)flags, (void)user;
    printf("data %d ", stream);
    put_hex(data, len);
    printf("\n");
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    (void)user;
    int32_t stream = frame->hd.stream_id;
    int ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        printf("head %d %d %d\n", stream, frame->headers.cat == NGHTTP2_HCAT_REQUEST, ends);
        break;
    case NGHTTP2_DATA:
        break;
    case NGHTTP2_RST_STREAM:
        printf("reset %d %u\n", stream, frame->rst_stream.error_code);
        return 0;
    default:
        return 0;
    }
    if (ends) {
        printf("end %d\n", stream);
        int has_body = nghttp2_session_get_stream_user_data(session, stream) == NULL;
        nghttp2_nv status = {(uint8_t *)":status", (uint8_t *)"200", 7, 3, NGHTTP2_NV_FLAG_NONE};
        nghttp2_data_provider body = {{.fd = 3 + stream % 40}, read_answer};
        nghttp2_submit_response(session, stream, &status, 1, has_body ? &body : NULL);
    }
    return 0;
}

static nghttp2_session *begin_session(void) {
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    if (nghttp2_session_server_new(&session, callbacks, NULL) != 0) {
        abort();
    }
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, MAX_LIST},
    };
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2);
    return session;
}

static void step(nghttp2_session *session, size_t len) {
    ssize_t taken = nghttp2_session_mem_recv(session, bytes, len);
    const uint8_t *out;
    ssize_t sent;
    while ((sent = nghttp2_session_mem_send(session, &out)) > 0) {
        printf("sends ");
        put_hex(out, (size_t)sent);
        printf("\n");
    }
    if (taken < 0 || !nghttp2_session_want_read(session)) {
        printf("over\n");
    }
}

static void inflate_block(nghttp2_hd_inflater *inflater, size_t len) {
    size_t at = 0;
    for (;;) {
        nghttp2_nv field;
        int flags = 0;
        ssize_t taken = nghttp2_hd_inflate_hd2(inflater, &field, &flags, bytes + at, len - at, 1);
        if (taken < 0) {
            printf("fails %s\n", nghttp2_strerror((int)taken));
            return;
        }
        at += (size_t)taken;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            printf("field ");
            put_hex(field.name, field.namelen);
            printf(" ");
            put_hex(field.value, field.valuelen);
            printf("\n");
        }
        if (flags & NGHTTP2_HD_INFLATE_FINAL) {
            nghttp2_hd_inflate_end_headers(inflater);
            return;
        }
    }
}

static void deflate_fields(nghttp2_hd_deflater *deflater, char *text) {
    nghttp2_nv fields[FIELDS];
    size_t count = 0, used = 0;
    for (char *name = strtok(text, " \n"); name && count < FIELDS; name = strtok(NULL, " \n")) {
        char *value = strtok(NULL, " \n");
        nghttp2_nv *field = &fields[count++];
        field->flags = NGHTTP2_NV_FLAG_NONE;
        field->name = bytes + used;
        field->namelen = read_hex(name, bytes + used);
        used += field->namelen;
        field->value = bytes + used;
        /* A minus stands for nothing. */
        field->valuelen = *value == '-' ? 0 : read_hex(value, bytes + used);
        used += field->valuelen;
    }
    static uint8_t out[LINE_MAX_BYTES];
    ssize_t len = nghttp2_hd_deflate_hd(deflater, out, sizeof out, fields, count);
    if (len < 0) {
        abort();
    }
    printf("block ");
    put_hex(out, (size_t)len);
    printf("\n");
}

int main(void) {
    nghttp2_session *session = NULL;
    nghttp2_hd_inflater *inflater = NULL;
    nghttp2_hd_deflater *deflater = NULL;
    while (fgets(line, sizeof line, stdin)) {
        switch (line[0]) {
        case 'C':
            nghttp2_session_del(session);
            session = begin_session();
            break;
        case 'S':
            step(session, read_hex(line + 2, bytes));
            break;
        case 'I':
            if (inflater) {
                nghttp2_hd_inflate_del(inflater);
            }
            nghttp2_hd_inflate_new(&inflater);
            break;
        case 'B':
            inflate_block(inflater, read_hex(line + 2, bytes));
            break;
        case 'D':
            if (deflater) {
                nghttp2_hd_deflate_del(deflater);
            }
            nghttp2_hd_deflate_new(&deflater, 4096);
            break;
        case 'Z':
            nghttp2_hd_deflate_change_table_size(deflater, strtoul(line + 2, NULL, 10));
            break;
        case 'F':
            deflate_fields(deflater, line + 2);
            break;
        default:
            return 1;
        }
        printf(".\n");
        fflush(stdout);
    }
    return 0;
}
