package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The OASIS committee's ABNF cases for a flat entity set, sent as they stand:
// each must get one of the statuses that its row allows.
func TestABNFOverHTTP(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "shared", "testdata", "odata-abnf-cases.json"))
	if err != nil {
		t.Skipf("the OASIS cases are not here: %v", err)
	}
	var set struct {
		Cases []struct {
			ID, Input string
			HTTP      struct {
				Kind, Path, Header, Property, Value, Raw string
				Expect                                   *string
			}
		}
	}
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	h := start(t)
	const collection = "/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates"
	judged := 0
	for _, c := range set.Cases {
		if c.HTTP.Expect == nil {
			continue
		}
		var status int
		switch c.HTTP.Kind {
		case "query", "path":
			status = h.raw(t, "GET", "/beta/"+strings.TrimPrefix(c.HTTP.Path, "/"), "", nil)
		case "header":
			status = h.raw(t, "GET", collection, c.HTTP.Header+": "+c.HTTP.Value, nil)
		case "body":
			value := []byte(c.HTTP.Raw)
			if c.HTTP.Raw == "" {
				value, _ = json.Marshal(c.HTTP.Value)
			}
			status = h.raw(t, "POST", collection, "Content-Type: application/json", fmt.Appendf(nil, `{%q:%s}`, c.HTTP.Property, value))
		default:
			continue
		}
		judged++
		if !allows(*c.HTTP.Expect, status) {
			t.Errorf("%s %s %s: status %d, want %s", c.ID, c.HTTP.Kind, c.Input, status, *c.HTTP.Expect)
		}
	}
	if judged < 300 {
		t.Errorf("only %d cases were judged", judged)
	}
}

// allows reports whether a status is one of "2xx|400|501".
func allows(expect string, status int) bool {
	for want := range strings.SplitSeq(expect, "|") {
		if want == fmt.Sprint(status) || strings.HasSuffix(want, "xx") && want[0] == fmt.Sprint(status)[0] {
			return true
		}
	}
	return false
}

// raw sends a request as it stands, which net/http's client would mend first.
func (h *harness) raw(t *testing.T, method, target, header string, body []byte) int {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n", method, target, h.token("writer"), len(body))
	if header != "" {
		b.WriteString(header + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(body)
	if _, err := conn.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}
