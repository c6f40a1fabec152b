package store

import (
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

func containsPhrase(w *where, t *odata.Term) string {
	return "instr(words, " + w.bind(t.Phrase) + ") > 0"
}

// byTerm selects the records that a term matches: those that have its longest
// word, and of these those that have the phrase; and those with its keys.
func (sel *selection) byTerm(t *odata.Term) string {
	var lists []string
	if t.Phrase != "" {
		lists = append(lists, sel.byWord(t))
	}
	for i := range certstate.Properties {
		if certstate.Properties[i].Keys != nil {
			lists = append(lists, sel.byKeys(&odata.Property{Index: i}, t.Keys))
		}
	}
	return strings.Join(lists, " UNION ALL ")
}

func (sel *selection) byWord(t *odata.Term) string {
	words := strings.Fields(t.Phrase)
	from := words[len(words)-1] // which may be only begun
	to := afterPrefix(from)
	for _, whole := range words[:len(words)-1] {
		if len(whole) > len(from) {
			from, to = whole, whole+"\x00"
		}
	}
	text := "SELECT k FROM word WHERE part = " + sel.bind(sel.t.part()) + " AND tenant = $1 AND word >= " + sel.bind(from) + " AND word < " + sel.bind(to)
	if len(words) > 1 {
		text += " AND EXISTS (SELECT 1 FROM state WHERE state.k = word.k AND state.tenant = $1 AND " + containsPhrase(&sel.where, t) + ")"
	}
	return text
}
