package store

import (
	"fmt"
	"slices"

	"certstate"
)

// filling makes the records of an older release's backup whole: what has come to
// the record since is null in them, or its type's zero, as a migration would have
// it.
type filling struct {
	from   []int // for each column of today, where the backup has it; -1: nowhere
	zeros  []any // for each column of today
	absent int64 // the bits of what has come
}

// fillingOf is what the rows of a table of a backup lack, nil for nothing. kept
// says that the backup has a table for what is kept apart from records.
func fillingOf(t table, have []string, kept bool) (*filling, error) {
	today := t.Columns
	if !slices.Contains(today, "absent") { // its rows are no records
		if !slices.Equal(today, have) {
			return nil, fmt.Errorf("%w: the columns of table %q", errDamaged, t.Name)
		}
		return nil, nil //nolint:nilnil // nothing is lacking
	}
	f := &filling{zeros: make([]any, len(today))}
	for _, name := range today {
		f.from = append(f.from, slices.Index(have, name))
	}
	for i := range certstate.Properties {
		p := &certstate.Properties[i]
		known := kept
		if certstate.InRow.Has(i) {
			at := slices.Index(today, columns(1 << i)[0])
			known = f.from[at] >= 0
			copy(f.zeros[at:], p.Field(&certstate.State{}).AppendSQL(nil))
		}
		if !known && p.Is(certstate.Nullable) {
			f.absent |= 1 << i
		}
	}
	lacks := false
	for i, from := range f.from {
		lacks = lacks || from < 0
		if from < 0 && f.zeros[i] == nil {
			return nil, fmt.Errorf("%w: a table has no column %q", errDamaged, today[i])
		}
	}
	if !lacks && f.absent == 0 {
		return nil, nil //nolint:nilnil // nothing is lacking
	}
	return f, nil
}

// whole is a row with all columns of today.
func (f *filling) whole(values []any) ([]any, error) {
	row := make([]any, len(f.from), len(f.from)+len(derivedColumns))
	for i, from := range f.from {
		if row[i] = f.zeros[i]; from >= 0 {
			row[i] = values[from]
		}
	}
	absent, ok := row[absentColumn].(int64)
	if !ok {
		return nil, errDamaged
	}
	row[absentColumn] = absent | f.absent
	return row, nil
}

// absentColumn is where a row of a backup says what is null.
const absentColumn = 4
