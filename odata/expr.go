package odata

import (
	"slices"

	"certstate"
	"certstate/edm"
)

// Expr is a checked expression: names are resolved, types fit, literals are
// read. There are seven kinds: [Literal], [Property], [Call], [Compare], [In],
// [Logic] and [Not]. Its String is OData source again, which parses to the same
// expression.
type Expr interface {
	Type() Type
	String() string
	// Eval is the expression's value for a record.
	Eval(*Env) Value
	// append appends the source; in parentheses if it binds looser than outer.
	append(b []byte, outer int) []byte
}

// Env is what an expression is evaluated in.
type Env struct {
	State *certstate.State
	Now   edm.DateTimeOffset // the time of the query
}

// Literal is a constant.
type Literal struct{ Value }

// Property is the record's Properties[Index].
type Property struct{ Index int }

// Call is a function of arguments, or an arithmetic operation.
type Call struct {
	Fn   *Function
	Args []Expr
}

// Op is a comparison.
type Op string

const (
	Eq Op = "eq"
	Ne Op = "ne"
	Gt Op = "gt"
	Ge Op = "ge"
	Lt Op = "lt"
	Le Op = "le"
)

// Compare compares two values. It is never null (OData URL Conventions
// §5.1.1.1): null equals null alone, and is neither greater nor less.
type Compare struct {
	Op   Op
	L, R Expr
	// Keys, if not nil, replace the text comparison of a property that has
	// keys with a literal: they are the literal's.
	Keys []string
}

// In compares a value with each of a list.
type In struct {
	X    Expr
	List []Value
	Keys []string // of the values that have keys, as in Compare
	Rest []Value  // the values that are compared as they are
}

// Logic is and, or or, of three-valued operands (OData URL Conventions §5.1.1.2).
type Logic struct {
	And  bool
	L, R Expr
}

// Not is true for false, false for true, null for null.
type Not struct{ X Expr }

// And is the conjunction of two filters, each of which may be nil.
func And(a, b Expr) Expr {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	return &Logic{true, a, b}
}

func (e *Literal) Type() Type  { return e.Value.Type }
func (e *Property) Type() Type { return PropertyType(e.Index) }
func (e *Call) Type() Type     { return e.Fn.Result }
func (e *Compare) Type() Type  { return BoolType }
func (e *In) Type() Type       { return BoolType }
func (e *Logic) Type() Type    { return BoolType }
func (e *Not) Type() Type      { return BoolType }

func (e *Literal) Eval(*Env) Value { return e.Value }

func (e *Property) Eval(env *Env) Value {
	return valueOf(certstate.Properties[e.Index].Field(env.State))
}

func (e *Call) Eval(env *Env) Value {
	args := make([]Value, len(e.Args))
	for i, a := range e.Args {
		if args[i] = a.Eval(env); args[i].Null {
			return nullValue(e.Fn.Result)
		}
	}
	return e.Fn.eval(env, args)
}

func (e *Compare) Eval(env *Env) Value {
	l, r := e.L.Eval(env), e.R.Eval(env)
	if e.Keys != nil {
		return boolValue(sharesKey(e.L, l, e.Keys) == (e.Op == Eq))
	}
	return boolValue(e.Op.holds(l, r))
}

// holds decides a comparison. ge and le are gt or eq, lt or eq (§5.1.1.1.4, .6).
func (op Op) holds(l, r Value) bool {
	switch op {
	case Eq:
		return l.Equal(r)
	case Ne:
		return !l.Equal(r)
	}
	if l.Null || r.Null {
		return l.Null && r.Null && (op == Ge || op == Le)
	}
	c := compare(l, r)
	switch op {
	case Gt:
		return c > 0
	case Ge:
		return c >= 0
	case Lt:
		return c < 0
	}
	return c <= 0
}

// sharesKey reports whether the value of a property with keys has one of keys.
func sharesKey(property Expr, v Value, keys []string) bool {
	if v.Null {
		return false
	}
	return slices.ContainsFunc(certstate.Properties[property.(*Property).Index].KeysOf(v.S), func(k string) bool {
		return slices.Contains(keys, k)
	})
}

func (e *In) Eval(env *Env) Value {
	x := e.X.Eval(env)
	return boolValue(e.Keys != nil && sharesKey(e.X, x, e.Keys) || slices.ContainsFunc(e.Rest, x.Equal))
}

func (e *Logic) Eval(env *Env) Value {
	l := e.L.Eval(env)
	if l.is(!e.And) {
		return l
	}
	r := e.R.Eval(env)
	if r.is(!e.And) || !l.Null {
		return r
	}
	return nullValue(BoolType)
}

func (e *Not) Eval(env *Env) Value {
	x := e.X.Eval(env)
	if x.Null {
		return x
	}
	return boolValue(x.N == 0)
}

// precedences of the operators, tightest last (OData URL Conventions
// §5.1.1.17). A unary minus and not stand with unary.
var precedences = map[string]int{
	"or": 1, "and": 2, "eq": 3, "ne": 3, "gt": 4, "ge": 4, "lt": 4, "le": 4, "in": 4, "has": 4,
	"add": 5, "sub": 5, "mul": 6, "div": 6, "divby": 6, "mod": 6, "-": unary,
}

const unary = 7

func (e *Literal) String() string  { return string(e.append(nil, 0)) }
func (e *Property) String() string { return string(e.append(nil, 0)) }
func (e *Call) String() string     { return string(e.append(nil, 0)) }
func (e *Compare) String() string  { return string(e.append(nil, 0)) }
func (e *In) String() string       { return string(e.append(nil, 0)) }
func (e *Logic) String() string    { return string(e.append(nil, 0)) }
func (e *Not) String() string      { return string(e.append(nil, 0)) }

func (e *Literal) append(b []byte, _ int) []byte { return e.appendLiteral(b) }
func (e *Property) append(b []byte, _ int) []byte {
	return append(b, certstate.Properties[e.Index].Name...)
}

func (e *Call) append(b []byte, outer int) []byte {
	switch {
	case e.Fn.Name == "-":
		return e.Args[0].append(append(b, '-'), unary)
	case e.Fn.infix():
		return appendInfix(b, outer, e.Args[0], e.Fn.Name, e.Args[1])
	}
	b = append(append(b, e.Fn.Name...), '(')
	for i, a := range e.Args {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.append(b, 0)
	}
	if e.Fn.To != "" {
		b = append(append(b, ','), e.Fn.To...)
	}
	return append(b, ')')
}

func (e *Compare) append(b []byte, outer int) []byte {
	return appendInfix(b, outer, e.L, string(e.Op), e.R)
}

func (e *Logic) append(b []byte, outer int) []byte {
	name := "or"
	if e.And {
		name = "and"
	}
	return appendInfix(b, outer, e.L, name, e.R)
}

// appendInfix writes the left operand at the operator's own precedence and the
// right one tighter: operators group to the left.
func appendInfix(b []byte, outer int, l Expr, name string, r Expr) []byte {
	own := precedences[name]
	return parenthesized(b, own < outer, func(b []byte) []byte {
		b = append(append(append(l.append(b, own), ' '), name...), ' ')
		return r.append(b, own+1)
	})
}

func parenthesized(b []byte, yes bool, inner func([]byte) []byte) []byte {
	if !yes {
		return inner(b)
	}
	return append(inner(append(b, '(')), ')')
}

func (e *In) append(b []byte, outer int) []byte {
	return parenthesized(b, precedences["in"] < outer, func(b []byte) []byte {
		b = append(e.X.append(b, precedences["in"]+1), " in ("...)
		for i, v := range e.List {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.appendLiteral(b)
		}
		return append(b, ')')
	})
}

func (e *Not) append(b []byte, outer int) []byte {
	return parenthesized(b, unary < outer, func(b []byte) []byte {
		return e.X.append(append(b, "not "...), unary)
	})
}
