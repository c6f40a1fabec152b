package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// points reads a record of SQLite by its id past database/sql, whose bookkeeping
// costs nearly as much as that statement does.
type points struct {
	connector driver.Connector
	text      string
	free      chan *point // nil: not opened yet
	ended     chan struct{}
}

// point is a connection with its statement, and room for a row of it.
type point struct {
	conn driver.Conn
	stmt driver.Stmt
	row  []driver.Value
}

func newPoints(connector driver.Connector, text string, conns int) *points {
	ps := &points{connector, text, make(chan *point, conns), make(chan struct{})}
	for range conns {
		ps.free <- nil
	}
	return ps
}

// pointRow is the row of a record, which is read when it is scanned.
type pointRow struct {
	points *points
	args   [3]driver.Value // as byID has them
}

func (r pointRow) Scan(targets ...any) error { return r.points.scan(targets, r.args[:]) }

// scan reads the row for the arguments into targets, or says sql.ErrNoRows.
func (ps *points) scan(targets []any, args []driver.Value) (err error) {
	var p *point
	select {
	case p = <-ps.free:
	case <-ps.ended:
		return errClosed
	}
	if p == nil {
		if p, err = ps.open(); err != nil {
			ps.free <- nil
			return err
		}
	}
	defer func() { ps.free <- p }()
	return p.scan(targets, args)
}

func (ps *points) open() (*point, error) {
	conn, err := ps.connector.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	stmt, err := conn.Prepare(ps.text)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %q: %w", ps.text, err), conn.Close())
	}
	return &point{conn: conn, stmt: stmt}, nil
}

func (p *point) scan(targets []any, args []driver.Value) (err error) {
	rows, err := p.stmt.Query(args) //nolint:staticcheck // it is not cancelled
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if p.row == nil {
		p.row = make([]driver.Value, len(rows.Columns()))
	}
	if err := rows.Next(p.row); errors.Is(err, io.EOF) {
		return sql.ErrNoRows
	} else if err != nil {
		return err
	}
	for i, value := range p.row {
		if err := assign(targets[i], value); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

// assign is what database/sql does with the targets of a scanner.
func assign(target any, value driver.Value) error {
	switch to := target.(type) {
	case sql.Scanner:
		return to.Scan(value)
	case *string:
		if text, ok := value.(string); ok {
			*to = text
			return nil
		}
	}
	return fmt.Errorf("%T does not take %T", target, value)
}

// close closes the connections, each when its use ends.
func (ps *points) close() (err error) {
	close(ps.ended)
	for range cap(ps.free) {
		if p := <-ps.free; p != nil {
			err = errors.Join(err, p.stmt.Close(), p.conn.Close())
		}
	}
	return err
}
