package odata

import "strings"

// Order is one key of $orderby. Null stands before every value, and after them
// in descending order (OData Protocol §11.2.6.2).
type Order struct {
	Key  int // row of Properties; with $apply, place among the columns of the result
	Desc bool
}

// MaxOrders bounds the keys of $orderby.
const MaxOrders = 8

// parseOrder reads the text of $orderby: keys, each with asc, desc or neither
// after it. A key that was given before decides nothing and is left out.
func parseOrder(text string, apply *Apply) (orders []Order, err error) {
	p := &parser{option: "$orderby", text: text}
	if err := p.wellFormed(); err != nil {
		return nil, err
	}
	given := map[int]bool{}
	for n := 0; n < MaxOrders; n++ {
		p.space()
		var o Order
		if o.Key, err = p.orderKey(apply); err != nil {
			return nil, err
		}
		if p.space() {
			at := p.pos
			switch name := p.name(); strings.ToLower(name) {
			case "", "asc":
			case "desc":
				o.Desc = true
			default:
				return nil, p.syntax(at, "expected 'asc', 'desc', ',' or the end")
			}
			p.space()
		}
		if !given[o.Key] {
			given[o.Key] = true
			orders = append(orders, o)
		}
		if p.pos == len(p.text) {
			return orders, nil
		}
		if !p.take(',') {
			return nil, p.syntax(p.pos, "expected ',' or the end")
		}
	}
	return nil, p.refuse(p.pos, "there are more than %d keys", MaxOrders)
}

func (p *parser) orderKey(apply *Apply) (int, error) {
	at := p.pos
	if apply != nil {
		name := p.name()
		i := apply.column(name)
		if i < 0 {
			return 0, p.refuse(at, "the result of $apply has no column '%s'", clip(name))
		}
		return i, nil
	}
	x, err := p.expr(0)
	if err != nil {
		return 0, err
	}
	property, ok := x.(*Property)
	if !ok {
		return 0, p.refuse(at, "sorting by the expression '%s' is not supported, only by properties", x)
	}
	if property.Type() == BinaryType {
		return 0, p.refuse(at, "certificates have no order: sort by another property")
	}
	return property.Index, nil
}
