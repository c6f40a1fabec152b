package odata

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"certstate"
)

// MaxBatch bounds the requests of a batch (Graph, "JSON batching").
const MaxBatch = 20

// MaxBatchHead bounds the URL and headers of one of them, in bytes: as much as
// the server takes of a request that comes alone.
const MaxBatchHead = 32 << 10

// Batch is a decoded batch.
type Batch struct {
	Items []BatchItem
	// Order is the order to run the items in, by index: each after those it
	// depends on, otherwise as they were sent.
	Order []int
}

// BatchItem is one request of a batch.
type BatchItem struct {
	ID        string
	Method    string            // upper case
	URL       string            // as sent, see Target
	Header    map[string]string // names in lower case
	Body      []byte            // a JSON object, nil for none
	DependsOn []int             // the items that must succeed first, by index
}

// DecodeBatch reads a batch (OData JSON Format 4.01 §19.1, as Graph narrows it).
// What is wrong with the envelope refuses the whole batch, so that nothing of
// it has been run; the message names the item.
func DecodeBatch(data []byte) (*Batch, error) {
	d := batchDecoder{dec: newDecoder(data)}
	if err := document(d.dec, d.member); err != nil {
		return nil, err
	}
	if len(d.batch.Items) == 0 {
		return nil, certstate.Errorf(certstate.Invalid, "requests", "Invalid batch payload format: send {\"requests\": […]} with 1 to %d requests.", MaxBatch)
	}
	for i := range d.batch.Items {
		if err := d.resolve(i); err != nil {
			return nil, d.inItem(i, err)
		}
	}
	return &d.batch, d.batch.arrange()
}

type batchDecoder struct {
	dec     *jsontext.Decoder
	batch   Batch
	depends [][]string // dependsOn of each item, as sent
}

func (d *batchDecoder) member(name string) error {
	switch {
	case name == "requests":
		return elements(d.dec, name, d.item)
	case isAnnotation(name):
		return d.ignore()
	}
	return certstate.Errorf(certstate.Invalid, clip(name), "A batch has no member '%s'; it has 'requests'.", clip(name))
}

func (d *batchDecoder) item() error {
	i := len(d.batch.Items)
	if i == MaxBatch {
		return certstate.Errorf(certstate.Invalid, "requests", "Number of batch request steps exceeds the maximum value of %d.", MaxBatch)
	}
	d.batch.Items = append(d.batch.Items, BatchItem{})
	d.depends = append(d.depends, nil)
	err := members(d.dec, "A request of a batch", d.itemMember)
	if err == nil {
		err = d.check(i)
	}
	return d.inItem(i, err)
}

// itemMembers is the table of what an item has.
var itemMembers = []struct {
	name string
	read func(*batchDecoder, *BatchItem) error
}{
	{"id", func(d *batchDecoder, it *BatchItem) (err error) { it.ID, err = d.text("id"); return err }},
	{"method", func(d *batchDecoder, it *BatchItem) (err error) { it.Method, err = d.text("method"); return err }},
	{"url", func(d *batchDecoder, it *BatchItem) (err error) { it.URL, err = d.text("url"); return err }},
	{"headers", (*batchDecoder).headers},
	{"body", (*batchDecoder).body},
	{"dependsOn", (*batchDecoder).dependsOn},
}

// itemMember reads a member of the last item. Null is as good as absent.
func (d *batchDecoder) itemMember(name string) error {
	for _, m := range itemMembers {
		switch {
		case m.name != name:
		case d.dec.PeekKind() == 'n':
			return d.ignore()
		default:
			return m.read(d, &d.batch.Items[len(d.batch.Items)-1])
		}
	}
	switch {
	case isAnnotation(name):
		return d.ignore()
	case name == "atomicityGroup":
		return certstate.Errorf(certstate.Invalid, name, "Batches have no 'atomicityGroup', as Graph's have none: each request stands for itself, and dependsOn makes one wait for others.")
	}
	names := make([]string, len(itemMembers))
	for i, m := range itemMembers {
		names[i] = m.name
	}
	return certstate.Errorf(certstate.Invalid, clip(name), "A request of a batch has no member '%s'; it has %s.", clip(name), strings.Join(names, ", "))
}

func (d *batchDecoder) ignore() error {
	tok, err := d.dec.ReadToken()
	if err != nil {
		return badJSON(err)
	}
	return skipValue(d.dec, tok)
}

func (d *batchDecoder) text(what string) (string, error) {
	tok, err := d.dec.ReadToken()
	if err != nil {
		return "", badJSON(err)
	}
	if tok.Kind() != '"' {
		return "", certstate.Errorf(certstate.Invalid, what, "'%s' must be a string.", what)
	}
	return tok.String(), nil
}

// headers reads names in any case, each once, with values that HTTP could carry
// (RFC 9110 §5.5).
func (d *batchDecoder) headers(it *BatchItem) error {
	it.Header = map[string]string{}
	return members(d.dec, "'headers'", func(name string) error {
		value, err := d.text(name)
		key := strings.ToLower(name)
		_, twice := it.Header[key]
		switch {
		case err != nil:
			return err
		case twice:
			return certstate.Errorf(certstate.Invalid, clip(name), "The header '%s' is there more than once.", clip(name))
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }):
			return certstate.Errorf(certstate.Invalid, clip(name), "The header '%s' has a control character in its value.", clip(name))
		}
		it.Header[key] = strings.TrimSpace(value)
		return nil
	})
}

// body keeps a JSON object as it is. Its depth and members are judged where
// every request's are.
func (d *batchDecoder) body(it *BatchItem) error {
	kind := d.dec.PeekKind()
	value, err := d.dec.ReadValue()
	switch {
	case err != nil:
		return badJSON(err)
	case kind == '"':
		return certstate.Errorf(certstate.Invalid, "body", "The body is a string, which in a batch stands for base64 of what is not JSON; nothing here takes such content: send a JSON object.")
	case kind != '{':
		return certstate.Errorf(certstate.Invalid, "body", "The body must be one JSON object.")
	}
	it.Body = bytes.Clone(value)
	return nil
}

func (d *batchDecoder) dependsOn(*BatchItem) error {
	last := &d.depends[len(d.depends)-1]
	return elements(d.dec, "dependsOn", func() error {
		id, err := d.text("dependsOn")
		if len(*last) < MaxBatch { // more of them than there can be ids
			*last = append(*last, id)
		} else if err == nil {
			err = certstate.Errorf(certstate.Invalid, "dependsOn", "'dependsOn' has more than %d ids.", MaxBatch)
		}
		return err
	})
}

// BatchMethods are what a request of a batch may do. They may be written in any case (OData JSON Format 4.01 §19.1).
var BatchMethods = []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}

// check judges an item that has been read whole.
func (d *batchDecoder) check(i int) error {
	it := &d.batch.Items[i]
	for _, must := range []struct{ name, value string }{{"id", it.ID}, {"method", it.Method}, {"url", it.URL}} {
		if must.value == "" {
			return certstate.Errorf(certstate.Invalid, must.name, "'%s' is missing: every request of a batch has id, method and url.", must.name)
		}
	}
	if d.batch.index(it.ID) < i {
		return certstate.Errorf(certstate.Invalid, "id", "Request Id %s has to be unique in a batch; ids that differ only in case are the same.", clip(it.ID))
	}
	it.Method = strings.ToUpper(it.Method)
	if !slices.Contains(BatchMethods, it.Method) {
		return certstate.Errorf(certstate.Invalid, "method", "The method '%s' is not one of %s.", clip(it.Method), strings.Join(BatchMethods, ", "))
	}
	head := len(it.URL)
	for name, value := range it.Header {
		head += len(name) + len(value)
	}
	if head > MaxBatchHead {
		return certstate.Errorf(certstate.Invalid, "url", "Its URL and headers are longer than %d bytes.", MaxBatchHead)
	}
	return nil
}

// inItem says of a failure which item has it.
func (d *batchDecoder) inItem(i int, err error) error {
	e, ok := errors.AsType[*certstate.Error](err)
	if !ok {
		return err
	}
	target := "requests/" + strconv.Itoa(i)
	if e.Target != "" {
		target += "/" + e.Target
	}
	name := "number " + strconv.Itoa(i+1)
	if id := d.batch.Items[i].ID; id != "" {
		name = "'" + clip(id) + "'"
	}
	return certstate.Errorf(e.Code, target, "Request %s of the batch: %s", name, e.Message)
}

// index is where the item with this id is, in any case, or -1.
func (b *Batch) index(id string) int {
	return slices.IndexFunc(b.Items, func(it BatchItem) bool { return strings.EqualFold(it.ID, id) })
}

// resolve finds the items that an item depends on, which may stand after it.
func (d *batchDecoder) resolve(i int) error {
	for _, id := range d.depends[i] {
		switch j := d.batch.index(id); j {
		case -1:
			return certstate.Errorf(certstate.Invalid, "dependsOn", "it depends on '%s', which is not the id of a request of this batch.", clip(id))
		case i:
			return certstate.Errorf(certstate.Invalid, "dependsOn", "it depends on itself.")
		default:
			d.batch.Items[i].DependsOn = append(d.batch.Items[i].DependsOn, j)
		}
	}
	return nil
}

// arrange sets Order, or names the items that wait for each other.
func (b *Batch) arrange() error {
	var waiting []int
	for i := range b.Items {
		waiting = append(waiting, i)
	}
	waits := func(i int) bool { return slices.Contains(waiting, i) }
	for len(waiting) > 0 {
		next := slices.IndexFunc(waiting, func(i int) bool { return !slices.ContainsFunc(b.Items[i].DependsOn, waits) })
		if next < 0 {
			return b.ring(waiting[0], waits)
		}
		b.Order = append(b.Order, waiting[next])
		waiting = slices.Delete(waiting, next, next+1)
	}
	return nil
}

// ring describes a ring among the items that wait: following what they wait
// for, from any of them, leads to some item a second time.
func (b *Batch) ring(at int, waits func(int) bool) error {
	var path []int
	for !slices.Contains(path, at) {
		path = append(path, at)
		depends := b.Items[at].DependsOn
		at = depends[slices.IndexFunc(depends, waits)]
	}
	var ids []string
	for _, i := range append(path[slices.Index(path, at):], at) {
		ids = append(ids, "'"+clip(b.Items[i].ID)+"'")
	}
	return certstate.Errorf(certstate.Invalid, "requests/"+strconv.Itoa(at)+"/dependsOn",
		"Requests of the batch depend on each other in a ring: %s.", strings.Join(ids, " → "))
}
