package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"certstate/intake"
)

// importer runs an intake, and says how far it is and what became of everything.
type importer struct {
	intake.Intake
	stdout, stderr io.Writer
	pull           *pull // nil: nothing is pulled
	began, said    time.Time
	totals         intake.Totals
	fault          error // of keeping how far a pull got
}

// begin starts the clock.
func (i *importer) begin() {
	i.began = time.Now()
	i.said = i.began
	i.Progress = i.progress
}

// run brings in what from says.
func (i *importer) run(ctx context.Context, from bringer) error {
	i.begin()
	bring := func() (err error) {
		i.totals, err = from(ctx, &i.Intake)
		i.keep(&i.totals)
		return errors.Join(err, i.fault)
	}
	if i.Settings.Dry {
		return bring()
	}
	return i.Store.WithoutIndexes(ctx, bring)
}

// progress says how far it is, at most once in two seconds.
func (i *importer) progress(t intake.Totals) {
	i.keep(&t)
	if time.Since(i.said) < 2*time.Second {
		return
	}
	i.said = time.Now()
	text := fmt.Sprintf("%s, %.0f a second", counts(&t), i.rate(&t))
	done, all := t.Read, t.Size
	if i.pull != nil {
		done, all = i.pull.share(&t)
	}
	if took := time.Since(i.began); all > 0 && done > 0 {
		left := time.Duration(float64(took) * float64(all-done) / float64(done))
		text += fmt.Sprintf(", %d %%, %s left", 100*done/all, left.Round(time.Second))
	}
	fmt.Fprintln(i.stderr, text)
}

// keep keeps how far a pull got.
func (i *importer) keep(t *intake.Totals) {
	if i.pull != nil && !i.Settings.Dry && i.fault == nil {
		i.fault = i.pull.durable(t)
	}
}

// total says what became of everything.
func (i *importer) total() {
	t := &i.totals
	text := fmt.Sprintf("%s, %d%s left out", counts(t), t.Rejected, i.noun())
	if t.Authorities > 0 {
		text += fmt.Sprintf(", %d certificates of authorities passed over (--authorities brings them in)", t.Authorities)
	}
	if i.Settings.Dry {
		text = "dry run: " + text
	}
	fmt.Fprintf(i.stdout, "%s, in %s (%.0f a second)\n", text, time.Since(i.began).Round(time.Millisecond), i.rate(t))
}

// counts is what was brought in, without what there is none of.
func counts(t *intake.Totals) string {
	text := fmt.Sprintf("%d records created", t.Created)
	if t.Updated > 0 {
		text += fmt.Sprintf(", %d updated", t.Updated)
	}
	if t.Present > 0 {
		text += fmt.Sprintf(", %d there already", t.Present)
	}
	return text
}

func (i *importer) rate(t *intake.Totals) float64 {
	return float64(t.Done()) / max(time.Since(i.began).Seconds(), 1e-3)
}

// noun is what is counted as left out: lines, where everything has them.
func (i *importer) noun() string {
	if i.pull != nil || i.totals.Certificates {
		return ""
	}
	return " lines"
}
