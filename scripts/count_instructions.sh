# shellcheck shell=bash
# To be sourced: instructions and allocations of a request, by callgrind.

# Builds `benches/instructions` with cargo's options, and prints where it is.
instructions_program() {
    cargo build --locked --bench instructions --message-format=json "$@" \
        | jq -r 'select(.target.name == "instructions").executable | values'
}

# Prints instructions and allocations, each per request: by a program, of a scenario, on so many
# connections, in so many rounds. Its files, the log among them, are in a folder.
count() {
    local program="$1" scenario="$2" connections="$3" rounds="$4" folder="$5"
    valgrind --tool=callgrind --callgrind-out-file="$folder/calls" \
        --toggle-collect='*counted_turn*' --toggle-collect='*beside_the_count*' \
        "$program" "$scenario" "$connections" "$rounds" >"$folder/result" 2>"$folder/log" \
        || return 1
    local requests allocations instructions
    requests="$(sed -n 's/.* requests=\([0-9]*\) .*/\1/p' "$folder/result")"
    allocations="$(sed -n 's/.* allocations=\([0-9]*\)$/\1/p' "$folder/result")"
    instructions="$(sed -n 's/^totals: //p' "$folder/calls")"
    awk -v i="$instructions" -v a="$allocations" -v r="$requests" \
        'BEGIN { printf "%.0f %.2f", i / r, a / r }'
}

# Shows why a count of a scenario failed.
count_failed() {
    cat "$2/log" >&2
    echo "callgrind failed on $1: the lines above tell why" >&2
    exit 1
}
