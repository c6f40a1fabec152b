package odata

import (
	"strconv"
	"strings"

	"certstate"
	"certstate/edm"
)

// Level is how much control information a response carries
// (OData JSON Format 4.0 §3.1).
type Level int

const (
	Minimal Level = iota
	None
	Full
)

func (l Level) String() string { return [...]string{"minimal", "none", "full"}[l] }

// Shape is how records are written.
type Shape struct {
	Root     string        // version root, such as https://host/beta
	Select   certstate.Set // the properties to write
	Selected []string      // as the client named them, for the context
	Level    Level
	Epoch    int64 // see ETag
	// DeclareType writes @odata.type at every level. Graph's pages show it in
	// the answer to a body that declared it.
	DeclareType bool
	// IEEE754 writes 64-bit numbers as strings, for clients that asked.
	IEEE754 bool
}

// ShapeOf is the shape a query asks for.
func ShapeOf(root string, q *Query, level Level) Shape {
	sh := Shape{Root: root, Select: q.Select, Selected: q.Selected, Level: level}
	if q.Apply != nil {
		sh.Selected = q.Apply.columnNames()
	}
	return sh
}

// context appends "@odata.context":"…" for the collection or, with suffix
// "/$entity", for one record (OData Protocol §10).
func (sh *Shape) context(b []byte, suffix string) []byte {
	b = edm.AppendJSONString(append(b, `"@odata.context":`...), sh.Root)
	b = append(b[:len(b)-len(`"`)], "/$metadata#"+CanonicalPath...)
	if sh.Selected != nil {
		b = append(append(append(b, '('), strings.Join(sh.Selected, ",")...), ')') // identifiers
	}
	return append(append(b, suffix...), `",`...)
}

// ETag is the entity tag of a version, as it stands in the ETag header. A
// register that was restored from a backup gives numbers of versions again that
// it gave after the backup: its epoch, 0 for any other, tells them apart.
func ETag(version, epoch int64) string {
	b := appendVersion(append(make([]byte, 0, 32), `W/"`...), version, epoch)
	return string(append(b, '"'))
}

func appendVersion(b []byte, version, epoch int64) []byte {
	b = strconv.AppendInt(b, version, 36)
	if epoch != 0 {
		b = strconv.AppendInt(append(b, '.'), epoch, 36)
	}
	return b
}

// AppendEntity appends s as the whole body of a response.
func (sh *Shape) AppendEntity(b []byte, s *certstate.State) []byte {
	b = append(b, '{')
	if sh.Level != None {
		b = sh.context(b, "/$entity")
	}
	return sh.appendMembers(b, s)
}

// AppendItem appends s as an item of a collection.
func (sh *Shape) AppendItem(b []byte, s *certstate.State) []byte {
	return sh.appendMembers(append(b, '{'), s)
}

func (sh *Shape) appendMembers(b []byte, s *certstate.State) []byte {
	if sh.Level == Full || sh.DeclareType && sh.Level != None {
		b = append(b, `"@odata.type":"#`+certstate.TypeName+`",`...)
	}
	if sh.Level == Full {
		link := sh.Root + "/" + KeyPath(s.ID.S)
		b = append(edm.AppendJSONString(append(b, `"@odata.id":`...), link), ',')
		b = append(edm.AppendJSONString(append(b, `"@odata.editLink":`...), link), ',')
	}
	if sh.Level != None {
		b = append(b, `"@odata.etag":"W/\"`...)
		b = appendVersion(b, s.Version, sh.Epoch)
		b = append(b, `\"",`...)
	}
	for i := range certstate.Properties {
		if !sh.Select.Has(i) {
			continue
		}
		p := &certstate.Properties[i]
		v := p.Field(s)
		if sh.Level == Full && v.ControlType() != "" {
			b = append(b, `"`+p.Name+`@odata.type":"`+v.ControlType()+`",`...)
		}
		b = append(v.AppendJSON(append(b, memberNames[i]...)), ',')
	}
	b[len(b)-1] = '}'
	return b
}

// memberNames are the properties' names as they stand before a value.
var memberNames = func() (names [len(certstate.Properties)]string) {
	for i := range names {
		names[i] = `"` + certstate.Properties[i].Name + `":`
	}
	return names
}()

// AppendCollectionHead appends a page up to its first record. count is written
// unless it is negative.
func (sh *Shape) AppendCollectionHead(b []byte, count int64) []byte {
	b = append(b, '{')
	if sh.Level != None {
		b = sh.context(b, "")
	}
	if count >= 0 {
		b = append(b, `"@odata.count":`...)
		if sh.IEEE754 {
			b = append(b, '"')
		}
		b = strconv.AppendInt(b, count, 10)
		if sh.IEEE754 {
			b = append(b, '"')
		}
		b = append(b, ',')
	}
	return append(b, `"value":[`...)
}

// AppendCollectionTail ends a page. nextLink is written unless it is empty.
func (sh *Shape) AppendCollectionTail(b []byte, nextLink string) []byte {
	b = append(b, ']')
	if nextLink != "" {
		b = edm.AppendJSONString(append(b, `,"@odata.nextLink":`...), nextLink)
	}
	return append(b, '}')
}

// AppendGroup appends a row of the result of $apply. It stands for no entity,
// which the null id says (OData JSON Format 4.0 §4.5.8).
func (sh *Shape) AppendGroup(b []byte, a *Apply, values []Value) []byte {
	b = append(b, '{')
	if sh.Level != None {
		b = append(b, `"@odata.id":null,`...)
	}
	for i := range values {
		b = append(edm.AppendJSONString(b, a.columnName(i)), ':')
		b = append(values[i].appendJSON(b, sh.IEEE754), ',')
	}
	b[len(b)-1] = '}'
	return b
}
