package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"
)

// outputs are the forms every listing can be had in.
var outputs = map[string]func(w io.Writer, head []string, rows [][]string) error{
	"table":  writeTable,
	"json":   writeJSON,
	"ndjson": writeNDJSON,
	"csv":    writeCSV,
}

func outputFlag(f *pflag.FlagSet, to *string) {
	f.StringVarP(to, "output", "o", "table", "`form` of the output: table, json, ndjson or csv")
}

// print writes rows under head in the form named.
func (a *app) print(form string, head []string, rows [][]string) error {
	write := outputs[form]
	if write == nil {
		return usageError{fmt.Errorf("--output %q is not one of table, json, ndjson, csv", form)}
	}
	return write(a.stdout, head, rows)
}

func writeTable(w io.Writer, head []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ToUpper(strings.Join(head, "\t")))
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}

func object(head, row []string) map[string]string {
	m := make(map[string]string, len(head))
	for i, name := range head {
		m[name] = row[i]
	}
	return m
}

func writeJSON(w io.Writer, head []string, rows [][]string) error {
	list := make([]map[string]string, len(rows))
	for i, row := range rows {
		list[i] = object(head, row)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(list)
}

func writeNDJSON(w io.Writer, head []string, rows [][]string) error {
	enc := json.NewEncoder(w)
	for _, row := range rows {
		if err := enc.Encode(object(head, row)); err != nil {
			return err
		}
	}
	return nil
}

func writeCSV(w io.Writer, head []string, rows [][]string) error {
	cw := csv.NewWriter(w)
	if err := cw.Write(head); err != nil {
		return err
	}
	return cw.WriteAll(rows)
}
