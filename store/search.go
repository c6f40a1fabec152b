package store

import (
	"context"
	"strings"

	"certstate"
	"certstate/odata"
)

// rareWord is up to how many records a word may stand in for its list to be
// looked up: a more frequent one is found sooner by reading records in order.
const rareWord = 2000

// searchTerm writes a word or phrase of $search: its words in the words of the
// record, or its keys among the record's.
func (sel *selection) searchTerm(w *where, t *odata.Term) (string, error) {
	keys := func(column string) string {
		return hasKey(column, w.list(len(t.Keys), func(i int) string { return w.bind(t.Keys[i]) }))
	}
	rare, err := sel.rarest(t.Phrase)
	if err != nil {
		return "", err
	}
	if rare != nil {
		// With the list of keys in hand, the other ways in are lists too.
		lists := []string{sel.listed(w, t, rare)}
		for _, column := range keyColumns {
			lists = append(lists, "SELECT k FROM state WHERE tenant = $1 AND "+keys(column))
		}
		return "k IN (" + strings.Join(lists, " UNION ALL ") + ")", nil
	}
	var any []string
	if t.Phrase != "" {
		any = append(any, containsPhrase(w, t))
	}
	for _, column := range keyColumns {
		any = append(any, keys(column))
	}
	return "(" + strings.Join(any, " OR ") + ")", nil
}

// keyColumns are the columns of all properties' keys.
var keyColumns = func() (list []string) {
	for i := range certstate.Properties {
		for _, k := range certstate.Properties[i].Keys {
			list = append(list, certstate.Properties[i].Column+k.Suffix)
		}
	}
	return list
}()

func containsPhrase(w *where, t *odata.Term) string {
	return "instr(words, " + w.bind(t.Phrase) + ") > 0"
}

// wordRange is a word of a phrase, or what words that begin with it lie between.
type wordRange struct{ from, to string }

// listed selects the keys of the records that the index of words gives for a
// term.
func (sel *selection) listed(w *where, t *odata.Term, rare *wordRange) string {
	text := "SELECT k FROM word WHERE part = " + w.bind(sel.t.part()) + " AND tenant = $1 AND word >= " + w.bind(rare.from) + " AND word < " + w.bind(rare.to)
	if strings.Count(t.Phrase, " ") > 1 {
		text += " AND EXISTS (SELECT 1 FROM state WHERE state.k = word.k AND state.tenant = $1 AND " + containsPhrase(w, t) + ")"
	}
	return text
}

// rarest is the word of a phrase that the fewest records have, or nil if each
// is in too many or the answer is as of the past, which has no index of words.
func (sel *selection) rarest(phrase string) (rare *wordRange, err error) {
	if sel.asOf != nil {
		return nil, nil
	}
	words := strings.Fields(phrase)
	least := rareWord + 1
	for i, word := range words {
		r := wordRange{word, word + "\x00"}
		if i == len(words)-1 { // which may be only begun
			r.to = afterPrefix(word)
		}
		n, err := sel.frequency(r, least)
		if err != nil {
			return nil, err
		}
		if n < least {
			rare, least = &r, n
		}
	}
	return rare, nil
}

// frequency counts the entries of a word in the index, up to a limit.
func (sel *selection) frequency(r wordRange, limit int) (n int, err error) {
	const count = "SELECT count(*) FROM (SELECT 1 FROM word WHERE part = $1 AND tenant = $2 AND word >= $3 AND word < $4 LIMIT $5)"
	st, err := sel.s.queries.get(sel.s.read, query{rest: count})
	if err != nil {
		return 0, err
	}
	err = st.QueryRowContext(context.Background(), sel.t.part(), sel.t.no, r.from, r.to, limit).Scan(&n)
	return n, err
}
