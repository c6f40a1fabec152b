package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// question is a row of the table of queries: what the server is asked, and the
// statement that somebody would write by hand for that question alone, on the
// same table and indexes.
type question struct {
	name    string
	clients int
	ask     string // below the version root, readable; {deep} and {delta} are links got beforehand
	sql     string // ?1 is the tenant; columns of floorColumns, or what form says
	form    form
	args    []any // after the tenant; {deep} and {head} as in ask
}

// form is how a statement's rows are written.
type form int

const (
	page   form = iota // records
	number             // one number
	groups             // a status and a number each
)

const (
	from = 638_712_000_000_000_000 // 2025-01-01T00:00:00Z in ticks, from when sample has records expire
	day  = 864_000_000_000
)

// linkTime is how long getting the links beforehand may take.
const linkTime = 2 * time.Minute

// asKey looks the word up as a serial number, in hexadecimal and decimal, and as
// a thumbprint, as $search does.
const asKey = " UNION ALL SELECT k FROM state WHERE tenant = ?1 AND serial_hex IN (?4, ?5) UNION ALL SELECT k FROM state WHERE tenant = ?1 AND serial_dec IN (?4, ?5) AND serial_dec <> ''" +
	" UNION ALL SELECT k FROM state WHERE tenant = ?1 AND thumbprint_hex IN (?4, ?5)"

var questions = []question{
	{"by status and expiry, sorted", 8,
		"{set}?$filter=certificateRevokeStatus eq 'pending' and certificateExpirationDateTime ge 2026-02-01T00:00:00Z and certificateExpirationDateTime lt 2026-09-01T00:00:00Z&$orderby=certificateExpirationDateTime&$top=100",
		"SELECT " + floorColumns + " FROM state WHERE tenant = ?1 AND revoke_status = 1 AND not_after >= ?2 AND not_after < ?3 ORDER BY not_after, k LIMIT 100", page,
		[]any{from + 396*day, from + 608*day}},
	{"first page by expiry", 8, "{set}?$orderby=certificateExpirationDateTime&$top=100",
		"SELECT " + floorColumns + " FROM state WHERE tenant = ?1 ORDER BY not_after, k LIMIT 100", page, nil},
	{"page in the middle by expiry", 8, "{deep}",
		"SELECT " + floorColumns + " FROM state WHERE tenant = ?1 AND (not_after, k) > (?2, ?3) ORDER BY not_after, k LIMIT 100", page, []any{"{deep}"}},
	{"count by status and expiry", 4,
		"{set}/$count?$filter=certificateRevokeStatus eq 'pending' and certificateExpirationDateTime ge 2026-02-01T00:00:00Z and certificateExpirationDateTime lt 2026-09-01T00:00:00Z",
		"SELECT count(*) FROM state WHERE tenant = ?1 AND revoke_status = 1 AND not_after >= ?2 AND not_after < ?3", number,
		[]any{from + 396*day, from + 608*day}},
	{"contains, soon found", 8, "{set}?$filter=contains(certificateSubjectName,'LAPTOP-00')&$top=100",
		"SELECT " + floorColumns + " FROM state WHERE tenant = ?1 AND instr(subject, ?2) > 0 ORDER BY k LIMIT 100", page, []any{"LAPTOP-00"}},
	{"contains, rare", 2, "{set}?$filter=contains(certificateSubjectName,'-0000077')&$top=100",
		"SELECT " + floorColumns + " FROM state WHERE tenant = ?1 AND instr(subject, ?2) > 0 ORDER BY k LIMIT 100", page, []any{"-0000077"}},
	{"search a rare word", 8, "{set}?$search=0000077&$top=100",
		"SELECT " + floorColumns + " FROM state WHERE +tenant = ?1 AND k IN (SELECT k FROM word WHERE part = ?1 << 16 AND word >= ?2 AND word < ?3" + asKey + ") ORDER BY k LIMIT 100", page,
		[]any{"0000077", "0000078", "77", "4d"}},
	{"search a phrase", 8, "{set}?$search=%22laptop 00000%22&$top=100",
		"SELECT " + floorColumns + " FROM state WHERE +tenant = ?1 AND k IN (SELECT k FROM word WHERE part = ?1 << 16 AND word >= ?2 AND word < ?3) AND instr(words, ?4) > 0 ORDER BY k LIMIT 100", page,
		[]any{"00000", "00001", " laptop 00000"}},
	{"how many of each status", 2, "{set}?$apply=groupby((certificateRevokeStatus),aggregate($count as n))",
		"SELECT revoke_status, count(*) FROM state WHERE tenant = ?1 GROUP BY revoke_status", groups, nil},
	{"delta of 100 changes", 8, "{delta}",
		"SELECT " + strings.ReplaceAll("s."+floorColumns, ", ", ", s.") + " FROM change c JOIN state s ON s.part = c.part AND s.id = c.id AND s.ver = c.n WHERE c.part = ?1 << 16 AND c.n > ?2 ORDER BY c.n LIMIT 101", page,
		[]any{"{head}"}},
}

// askAll makes the workloads of the questions. A target's path to question i is
// its paths[i].
func askAll() []workload {
	list := []workload{{"gets, 32 clients", 32, (*client).read}}
	for i := range questions {
		list = append(list, workload{fmt.Sprintf("%s, %d clients", questions[i].name, questions[i].clients), questions[i].clients, func(c *client) error {
			c.out = append(append(c.out[:0], "GET "...), c.t.paths[i]...)
			_, err := c.do(c.finish(), http.StatusOK)
			return err
		}})
	}
	return list
}

// changes is how many changes delta tells of.
const changes = 100

// serverPaths follows the links that the server's questions need: to the page
// in the middle, and to what changes from now on; then the changes are made.
func serverPaths(t *target, rows int) (paths []string, err error) {
	c, err := dial(t, nil, linkTime)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close() // it has its answers
	base := "http://" + t.addr
	link := func(path, name string) (string, error) {
		c.out = append(append(c.out[:0], "GET "...), path...)
		answer, err := c.do(c.finish(), http.StatusOK)
		if err != nil {
			return "", err
		}
		next := between(`"`+name+`":"`+base, `"`, "")(answer)
		if next == nil {
			return "", fmt.Errorf("%s has no %s", path, name)
		}
		return string(next), nil
	}
	deep := t.path + "?$orderby=certificateExpirationDateTime&$top=100"
	for n := 0; n < rows/2; n += 100 {
		if deep, err = link(deep, "@odata.nextLink"); err != nil {
			return nil, err
		}
	}
	delta, err := link(t.path+"/delta?$top=200&$deltatoken=latest", "@odata.deltaLink")
	for range changes {
		if err == nil {
			err = c.create()
		}
	}
	fill := strings.NewReplacer("{set}", t.path, "{deep}", deep, "{delta}", delta)
	for _, q := range questions {
		path, query, asks := strings.Cut(q.ask, "?")
		if asks {
			path += "?" + strings.ReplaceAll(query, " ", "%20")
		}
		paths = append(paths, fill.Replace(path))
	}
	return paths, err
}

// answerQuestions adds the questions to the floor.
func (f *floor) answerQuestions(mux *http.ServeMux) error {
	var ends, k, rows, head int64
	err := f.read.QueryRow("SELECT live, n FROM seq").Scan(&rows, &head)
	if err == nil {
		err = f.read.QueryRow("SELECT not_after, k FROM state WHERE tenant = ?1 ORDER BY not_after, k LIMIT 1 OFFSET ?2", f.tenant, rows/2-1).Scan(&ends, &k)
	}
	if err != nil {
		return err
	}
	for i, q := range questions {
		st, err := f.read.Prepare(q.sql)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		args := []any{f.tenant}
		for _, a := range q.args {
			switch a {
			case "{deep}":
				args = append(args, ends, k)
			case "{head}":
				args = append(args, head-changes)
			default:
				args = append(args, a)
			}
		}
		mux.HandleFunc("GET /questions/"+strconv.Itoa(i), func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, func(b []byte) ([]byte, error) {
				rows, err := st.Query(args...)
				if err != nil {
					return b, err
				}
				defer rows.Close() // Err has said it
				return appendRows(b, rows, q.form)
			})
		})
	}
	return nil
}

func appendRows(b []byte, rows *sql.Rows, f form) ([]byte, error) {
	if f == page {
		b, _, err := appendRecords(b, rows)
		return b, err
	}
	b = append(b, '[')
	for rows.Next() {
		var status, n int64
		targets := []any{&status, &n}
		if f == number {
			targets = targets[1:]
		}
		if err := rows.Scan(targets...); err != nil {
			return b, err
		}
		b = strconv.AppendInt(append(strconv.AppendInt(b, status, 10), ':'), n, 10)
		b = append(b, ',')
	}
	return append(b, ']'), rows.Err()
}
