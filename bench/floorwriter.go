package main

import (
	"context"
	"database/sql"
	"errors"
	"log"
	"os"
	"strings"
	"time"

	"certstate"
	"certstate/edm"
)

// floorWriter is the floor's one writing goroutine: it commits together what
// waits together.
type floorWriter struct {
	db                             *sql.DB
	conn                           *sql.Conn
	insert, count, logChange, word *sql.Stmt
	tenant, lastK                  int64
	queue                          chan *floorJob
}

type floorJob struct {
	row  *floorRow
	done chan error
}

// absentRest are the bits of the properties that a floorBody has not.
const absentRest = 1<<13 | 1<<14 | 1<<15 | 1<<16 | 1<<17

// startFloorWriter starts the writer and the checkpointer.
func startFloorWriter(ctx context.Context, path string, tenant int64) (*floorWriter, error) {
	w := &floorWriter{db: sql.OpenDB(floorConnector{path, floorWrite}), tenant: tenant, queue: make(chan *floorJob, 1024)}
	w.db.SetMaxIdleConns(2)
	var err error
	if w.conn, err = w.db.Conn(ctx); err != nil {
		return nil, err
	}
	prepare := func(text string) (st *sql.Stmt) {
		st, err1 := w.conn.PrepareContext(ctx, text)
		err = errors.Join(err, err1)
		return st
	}
	w.insert = prepare("INSERT INTO state (part, tenant, ver, " + floorColumns + ", device_id, policy_id, user_id, thumbprint_sha256, source, " +
		"created, created_offset, modified, modified_offset, thumbprint_hex, serial_hex, words) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, " +
		"'', '', '', '', '', ?22, 0, ?22, 0, ?23, ?24, ?25)")
	w.word = prepare("INSERT INTO word (part, tenant, word, k) VALUES (?1, ?2, ?3, ?4)")
	w.count = prepare("UPDATE seq SET n = n + ?1, live = live + ?1 WHERE part = ?2 RETURNING n")
	w.logChange = prepare("INSERT INTO change (part, n, tenant, id, kind, actor, reason, at) VALUES (?1, ?2, ?3, ?4, 'created', 'floor', '', ?5)")
	if err != nil {
		return nil, err
	}
	if err := w.conn.QueryRowContext(ctx, "SELECT max(k) FROM state").Scan(&w.lastK); err != nil {
		return nil, err
	}
	go w.run()
	go w.checkpoint(path + "-wal")
	return w, nil
}

// create returns once the record is on disk.
func (w *floorWriter) create(r *floorRow) error {
	j := &floorJob{r, make(chan error, 1)}
	w.queue <- j
	return <-j.done
}

func (w *floorWriter) run() {
	var batch []*floorJob
	for j := range w.queue {
		batch = append(batch[:0], j)
	fill:
		for len(batch) < 256 {
			select {
			case j := <-w.queue:
				batch = append(batch, j)
			default:
				break fill
			}
		}
		err := w.commit(batch)
		for _, j := range batch {
			j.done <- err
		}
	}
}

// commit writes records, their entries of the change log and the sequence in
// one transaction.
func (w *floorWriter) commit(batch []*floorJob) error {
	ctx := context.Background()
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := w.write(batch); err != nil {
		_, err2 := w.conn.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, err2)
	}
	_, err := w.conn.ExecContext(ctx, "COMMIT")
	return err
}

func (w *floorWriter) write(batch []*floorJob) error {
	part, now := w.tenant<<16, edm.Time(time.Now()).Ticks
	var n int64
	if err := w.count.QueryRow(len(batch), part).Scan(&n); err != nil {
		return err
	}
	n -= int64(len(batch))
	for _, j := range batch {
		r := j.row
		w.lastK++
		n++
		words := certstate.Phrase(r.device) + " |" + certstate.Phrase(r.upn) + " |" + certstate.Phrase(r.issuer) + " |" + certstate.Phrase(r.subject) + " |"
		if _, err := w.insert.Exec(part, w.tenant, n, w.lastK, absentRest, r.id, r.status, r.changed.Ticks, r.changed.Offset, r.device, r.upn,
			r.ends.Ticks, r.ends.Offset, r.issuer, r.thumbprint, r.serial, r.subject, r.usages, r.extended,
			r.begins.Ticks, r.begins.Offset, now, strings.ToLower(r.thumbprint), certstate.SerialHex(r.serial), words); err != nil {
			return err
		}
		for _, word := range certstate.DistinctWords(words) {
			if _, err := w.word.Exec(part, w.tenant, word, w.lastK); err != nil {
				return err
			}
		}
		if _, err := w.logChange.Exec(part, n, w.tenant, r.id, now); err != nil {
			return err
		}
	}
	return nil
}

// checkpoint keeps the write-ahead log from growing, as the store does
// (store/checkpoint.go). The bench empties it between measurements.
func (w *floorWriter) checkpoint(wal string) {
	for range time.Tick(250 * time.Millisecond) {
		if st, err := os.Stat(wal); err == nil && st.Size() >= 64<<20 {
			if _, err := w.db.Exec("PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
				log.Print("checkpoint: ", err)
			}
		}
	}
}
