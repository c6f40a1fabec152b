package ingest

import (
	"iter"
	"slices"
)

// Piece is a part of a source that has been read, and is made into rows when it is
// called: pieces are independent of each other and of their source.
type Piece func() []Row

// pieceRows and pieceBytes are about how much a piece of lines holds.
const (
	pieceRows  = 100
	pieceBytes = 1 << 18
)

// rows are those of all pieces.
func rows(pieces iter.Seq[Piece]) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for piece := range pieces {
			for _, row := range piece() {
				if !yield(row) {
					return
				}
			}
		}
	}
}

// Pieces cuts rows into pieces.
func Pieces(rows iter.Seq[Row]) iter.Seq[Piece] {
	return func(yield func(Piece) bool) {
		for list := range chunks(rows) {
			if !yield(made(list...)) {
				return
			}
		}
	}
}

// made is a piece that is rows already.
func made(list ...Row) Piece { return func() []Row { return list } }

func chunks(rows iter.Seq[Row]) iter.Seq[[]Row] {
	return func(yield func([]Row) bool) {
		var list []Row
		for row := range rows {
			if list = append(list, row); len(list) == pieceRows {
				if !yield(list) {
					return
				}
				list = nil
			}
		}
		if len(list) > 0 {
			yield(slices.Clip(list))
		}
	}
}
