#!/bin/sh
# run.sh drives a "certstate demo" of this tree with real clients: Microsoft's
# and HashiCorp's Go SDKs with Azure Identity and MSAL in go/, Microsoft's
# JavaScript client with MSAL Node and odata2ts, a client for any OData service,
# in node/, with Power Query's requests beside them. In stepca/ the register follows a real step-ca
# that issues certificates over SCEP, ACME and by token. It fails if any of them does.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
data=$work/data
demo=

stop() {
	if [ -n "$demo" ]; then
		kill "$demo" 2>/dev/null || true
		wait "$demo" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { echo "clients: $*"; }

fail() {
	say "$@" >&2
	if [ -s "$work/demo.log" ]; then
		sed 's/^/  demo: /' "$work/demo.log" >&2
	fi
	exit 1
}

# start_demo runs the demo and waits for demo.env, which it writes when ready.
start_demo() {
	"$work/certstate" demo --data "$data" --listen localhost:0 --count 300 >"$work/demo.log" 2>&1 &
	demo=$!
	tries=0
	until [ -s "$data/demo.env" ]; do
		kill -0 "$demo" 2>/dev/null || fail "the demo ended before it was ready; its log:"
		tries=$((tries + 1))
		[ "$tries" -le 300 ] || fail "the demo was not ready after 30 seconds; its log:"
		sleep 0.1
	done
}

# have_node reports whether there is a Node.js of use, and installs one if that
# is possible without asking.
have_node() {
	if ! { command -v node && command -v npm; } >/dev/null; then
		if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
			say "SKIPPED the JavaScript clients: node and npm are not installed"
			return 1
		fi
		say "installing nodejs and npm with apt-get"
		if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nodejs npm; } >"$work/apt.log" 2>&1; then
			cat "$work/apt.log" >&2
			say "SKIPPED the JavaScript clients: nodejs and npm could not be installed"
			return 1
		fi
	fi
	major=$(node -p 'process.versions.node.split(".")[0]')
	if [ "$major" -lt 20 ]; then
		say "SKIPPED the JavaScript clients: node is version $major, and MSAL Node needs 20"
		return 1
	fi
}

# tested runs the tests of a folder with "$@". It shows what they print, keeps
# it in $work/FOLDER.log, and notes a failure.
tested() {
	folder=$1
	shift
	{ (cd "$here/$folder" && "$@") 2>&1 || : >"$work/failed"; } | tee "$work/$folder.log"
}

say "building certstate"
(cd "$here/.." && go build -o "$work/certstate" ./cmd/certstate)
node=
if have_node; then
	node=yes
	(cd "$here/node" && npm ci --prefer-offline --no-audit --no-fund --loglevel=error)
fi
start_demo

# SSL_CERT_FILE is for the tests alone: go may have to load modules, from hosts
# that the demo's authority does not vouch for.
ca=$data/ca.pem
grep -v '^SSL_CERT_FILE=' "$data/demo.env" >"$work/env"
set -a
. "$work/env"
set +a

say "building the Go SDKs; the first time, this takes minutes"
tested go go test -count=1 -v -exec "env 'SSL_CERT_FILE=$ca'" ./...
if [ -n "$node" ]; then
	tested node node --test --test-reporter=spec
fi
say "building step-ca; the first time, this takes minutes"
tested stepca go test -count=1 -v ./...

say "Go: $(grep -c '^ *--- PASS' "$work/go.log") passed, $(grep -c '^ *--- FAIL' "$work/go.log") failed; $(tail -n 1 "$work/go.log")"
say "step-ca: $(grep -c '^ *--- PASS' "$work/stepca.log") passed, $(grep -c '^ *--- FAIL' "$work/stepca.log") failed; $(tail -n 1 "$work/stepca.log")"
if [ -n "$node" ]; then
	say "JavaScript: $(sed -n 's/^ℹ \(tests\|pass\|fail\|duration_ms\) /\1 /p' "$work/node.log" | paste -s -d ' ' -)"
else
	say "JavaScript: SKIPPED, see above"
fi
[ ! -e "$work/failed" ] || fail "FAILED; the demo's log:"
