package intake

import (
	"iter"

	"certstate/ingest"
)

// Auto has each file's content say what it is.
const Auto = "auto"

// format is a form of files, and how it is read.
type format struct {
	name   string
	pieces func(*ingest.File, *Settings) iter.Seq[ingest.Piece]
}

var formats = []format{
	{ingest.KindNDJSON, func(f *ingest.File, _ *Settings) iter.Seq[ingest.Piece] { return ingest.NDJSONPieces(f) }},
	{ingest.KindCSV, func(f *ingest.File, set *Settings) iter.Seq[ingest.Piece] { return ingest.CSVPieces(f, set.Columns) }},
	{ingest.KindCertificates, func(f *ingest.File, set *Settings) iter.Seq[ingest.Piece] {
		return ingest.CertificatePieces(f, set.Naming)
	}},
}

// Formats are the values of [Settings].Format.
func Formats() []string {
	names := []string{Auto}
	for i := range formats {
		names = append(names, formats[i].name)
	}
	return names
}

// formatOf is nil if there is none with the name.
func formatOf(name string, f *ingest.File) *format {
	if name == Auto {
		name = f.Kind()
	}
	for i := range formats {
		if formats[i].name == name {
			return &formats[i]
		}
	}
	return nil
}
