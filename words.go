package certstate

import (
	"slices"
	"strings"
	"unicode"

	"certstate/edm"
)

// Words is the text that $search looks into: the words of every property with
// the trait Searched, folded, each after a space, and a bar between properties,
// such as " laptop 0042 | jonas fleet example |". A phrase is there if its own
// words, written the same way, are a substring: so words match from their
// beginning, and all but a phrase's last match whole.
func Words(s *State) string {
	var b strings.Builder
	for i := range Properties {
		p := &Properties[i]
		if !p.Is(Searched) {
			continue
		}
		if text := p.Field(s).(*edm.String); text.S != "" {
			b.WriteString(Phrase(text.S))
			b.WriteString(" |")
		}
	}
	return b.String()
}

// Phrase is text as Words writes it: its words in lower case, each after a
// space. Words are the longest runs of letters, marks and digits; the types of
// a distinguished name's attributes ("CN=", RFC 4514 §3) are not among them.
func Phrase(text string) string {
	var b strings.Builder
	for word, end := range splitWords(text) {
		if !strings.HasPrefix(strings.TrimLeft(text[end:], " "), "=") {
			b.WriteByte(' ')
			b.WriteString(strings.ToLower(word))
		}
	}
	return b.String()
}

// DistinctWords lists the words of what Words or Phrase made, each once, in
// order.
func DistinctWords(words string) []string {
	list := strings.FieldsFunc(words, func(r rune) bool { return r == ' ' || r == '|' })
	slices.Sort(list)
	return slices.Compact(list)
}

// splitWords yields the words of text, each with the position of its end.
func splitWords(text string) func(yield func(word string, end int) bool) {
	return func(yield func(string, int) bool) {
		start := -1
		for i, r := range text {
			switch in := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r); {
			case in && start < 0:
				start = i
			case !in && start >= 0:
				if !yield(text[start:i], i) {
					return
				}
				start = -1
			}
		}
		if start >= 0 {
			yield(text[start:], len(text))
		}
	}
}
