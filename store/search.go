package store

import (
	"context"
	"strings"

	"certstate"
	"certstate/odata"
)

// searchTerm writes a word or phrase of $search where it is no way in: its
// words in the words of the record, or its keys among the record's.
func (sel *selection) searchTerm(w *where, t *odata.Term) string {
	var any []string
	if t.Phrase != "" {
		any = append(any, containsPhrase(w, t))
	}
	for i := range certstate.Properties {
		if keys := t.Keys[i]; keys != nil {
			any = append(any, w.sharedKeys(&odata.Property{Index: i}, keys))
		}
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
	var lists []string
	words := strings.Fields(t.Phrase)
	least := limit
	if len(words) == 0 {
		least = 0
	}
	for i, word := range words {
		to := word + "\x01"
		if i == len(words)-1 { // which may be only begun
			to = afterPrefix(word)
		}
		text := sel.byWord(word, to)
		if n, err = sel.countTo(ctx, text, limit); err != nil {
			return "", 0, err
		}
		if n < least || i == 0 {
			lists, least = []string{text}, n
		}
	}
	for i := range certstate.Properties {
		if keys := t.Keys[i]; keys != nil {
			lists = append(lists, sel.byKeys(&odata.Property{Index: i}, keys))
		}
	}
	return strings.Join(lists, " UNION ALL "), least, nil
}

// byWord selects the records with a word from one text up to before another.
func (sel *selection) byWord(from, to string) string {
	return "SELECT k FROM word WHERE part = " + sel.bind(sel.t.part()) + " AND tenant = $1 AND word >= " + sel.bind(from) + " AND word < " + sel.bind(to)
}
