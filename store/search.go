package store

import (
	"context"
	"strings"

	"certstate/odata"
)

// searchTerm writes a word or phrase of $search where it is no way in: its
// words in the words of the record, or its keys among the record's.
func (sel *selection) searchTerm(w *where, t *odata.Term) string {
	var any []string
	if t.Phrase != "" {
		any = append(any, containsPhrase(w, t))
	}
	for i := range t.Keys {
		any = append(any, w.sharedKeys(&t.Keys[i].Property, t.Keys[i].Keys))
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

// containsFunction is the signature of the function that a phrase is tested by.
const containsFunction = "contains(String,String)"

func containsPhrase(w *where, t *odata.Term) string {
	return strings.NewReplacer("{1}", "words", "{2}", w.bind(t.Phrase)).Replace(w.d.templates[containsFunction].text)
}

// byTerm selects the records that a term may match: those with its rarest word,
// which are counted, and those with its keys, which are few. They match if the
// term is one word; of a phrase, the rest is to be looked at.
func (sel *selection) byTerm(ctx context.Context, t *odata.Term, limit int) (in string, n int, err error) {
	lists := make([]string, 0, 4)
	words := strings.Fields(t.Phrase)
	least := limit
	if len(words) == 0 {
		least = 0
	}
	rarest := wordRange{}
	for i, word := range words {
		r := wordRange{word, word + "\x01"}
		if i == len(words)-1 { // which may be only begun
			r.to = afterPrefix(word)
		}
		if n, err = sel.countWords(ctx, r, limit); err != nil {
			return "", 0, err
		}
		if n < least || i == 0 {
			rarest, least = r, n
		}
	}
	if len(words) > 0 {
		lists = append(lists, "SELECT k"+fromWord(sel.bind(sel.t.part()), sel.bind(rarest.from), sel.bind(rarest.to)))
	}
	for i := range t.Keys {
		lists = append(lists, sel.byKeys(&t.Keys[i].Property, t.Keys[i].Keys))
	}
	return strings.Join(lists, unionAll), least, nil
}

// wordRange are the words from one text up to before another.
type wordRange struct{ from, to string }

// countWords counts the records with a word of a range, up to a limit.
func (sel *selection) countWords(ctx context.Context, r wordRange, limit int) (int, error) {
	part := sel.t.part()
	return sel.counted(ctx, countKey{part: part, words: r, limit: limit}, func() (string, []any) {
		return "SELECT count(*) FROM (SELECT k" + fromWord("$2", "$3", "$4") + " LIMIT $5) AS found", []any{sel.t.no, part, r.from, r.to, limit}
	})
}

// fromWord reads what has a word from one text up to before another; $1 is the
// tenant.
func fromWord(part, from, to string) string {
	return " FROM word WHERE part = " + part + " AND tenant = $1 AND word >= " + from + " AND word < " + to
}
