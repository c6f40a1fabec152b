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
	list := w.list(len(t.Keys), func(i int) string { return w.bind(t.Keys[i]) })
	for i := range certstate.Properties {
		p := &certstate.Properties[i]
		for _, k := range p.Keys {
			any = append(any, hasKey(p.Column+k.Suffix, list))
		}
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

// containsFunction is the signature of the function that a phrase is tested by.
const containsFunction = "contains(String,String)"

func containsPhrase(w *where, t *odata.Term) string {
	return strings.NewReplacer("{1}", "words", "{2}", w.bind(t.Phrase)).Replace(w.d.templates[containsFunction].text)
}

// byTerm selects the records that a term matches: those that have its rarest
// word, and of these those that have the phrase; and those with its keys.
func (sel *selection) byTerm(ctx context.Context, t *odata.Term) (string, error) {
	var lists []string
	if t.Phrase != "" {
		text, err := sel.byPhrase(ctx, t)
		if err != nil {
			return "", err
		}
		lists = append(lists, text)
	}
	for i := range certstate.Properties {
		if certstate.Properties[i].Keys != nil {
			lists = append(lists, sel.byKeys(&odata.Property{Index: i}, t.Keys))
		}
	}
	return strings.Join(lists, " UNION ALL "), nil
}

func (sel *selection) byPhrase(ctx context.Context, t *odata.Term) (string, error) {
	words := strings.Fields(t.Phrase)
	last := len(words) - 1 // which may be only begun
	if last == 0 {
		return sel.byWord(words[0], afterPrefix(words[0])), nil
	}
	best, least := sel.byWord(words[last], afterPrefix(words[last])), sel.s.rare+1
	for i, word := range words {
		text := best
		if i < last {
			text = sel.byWord(word, word+"\x01")
		}
		n, err := sel.countTo(ctx, text, least)
		if err != nil {
			return "", err
		}
		if n < least {
			best, least = text, n
		}
	}
	return best + " AND EXISTS (SELECT 1 FROM state WHERE state.part = word.part AND state.k = word.k AND state.tenant = $1 AND " + containsPhrase(&sel.where, t) + ")", nil
}

// byWord selects the records with a word from one text up to before another.
func (sel *selection) byWord(from, to string) string {
	return "SELECT k FROM word WHERE part = " + sel.bind(sel.t.part()) + " AND tenant = $1 AND word >= " + sel.bind(from) + " AND word < " + sel.bind(to)
}
