package store_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"certstate"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest"
)

// BenchmarkPostgres compares the store with statements written by hand for the
// same driver, which make the same rows in one pipeline, a transaction each.
func BenchmarkPostgres(b *testing.B) {
	url := storetest.Postgres(b)
	if err := store.CreatePlain(b.Context(), url); err != nil {
		b.Fatal(err)
	}
	s, err := store.Open(b.Context(), url, store.Options{Serve: true, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.AddTenant(b.Context(), tenantID, ""); err != nil {
		b.Fatal(err)
	}
	tn, err := s.Tenant(b.Context(), tenantID)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Create(b.Context(), tn, device(0), by); err != nil {
		b.Fatal(err)
	}
	hand := newByHand(b, url)
	var n atomic.Int64
	create := compared{
		func() error { return hand.create(n.Add(1)) },
		func() error { _, err := s.Create(b.Context(), tn, device(n.Add(1)), by); return err }}
	b.Run("create/1", func(b *testing.B) { create.run(b, 1) })
	b.Run("create/32", func(b *testing.B) { create.run(b, 32) })
	get := compared{
		func() error { return hand.read("get", "device-00000000") },
		func() error { _, err := s.Get(b.Context(), tn, "device-00000000", certstate.Defaults); return err }}
	b.Run("get/1", func(b *testing.B) { get.run(b, 1) })
	b.Run("get/32", func(b *testing.B) { get.run(b, 32) })
	page := compared{
		func() error { return hand.read("page") },
		func() error {
			_, err := s.List(b.Context(), tn, &odata.Query{Select: certstate.Defaults}, store.Position{}, 100, func(*certstate.State) error { return nil })
			return err
		}}
	b.Run("page/1", func(b *testing.B) { page.run(b, 1) })
}

// compared is the same done by hand and by the store.
type compared [2]func() error

// run has clients do both in turns, so that a busy machine is busy for both, and
// reports how much faster or slower the store is.
func (c compared) run(b *testing.B, clients int) {
	var took [2]time.Duration
	const each = 10
	for b.Loop() {
		for i, do := range c {
			begun := time.Now()
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					for range each {
						if err := do(); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			took[i] += time.Since(begun)
		}
	}
	ops := float64(b.N * each * clients)
	for i, name := range []string{"hand", "store"} {
		b.ReportMetric(ops/took[i].Seconds(), name+"/s")
	}
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "store:hand")
}

// byHand has the statements written by hand. What they write goes to tables of
// their own; what they read is the store's.
type byHand struct{ pool *pgxpool.Pool }

func newByHand(b *testing.B, url string) *byHand {
	pool, err := pgxpool.New(b.Context(), url+"&pool_max_conns=32")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	if _, err := pool.Exec(b.Context(), `CREATE SCHEMA hand; CREATE TABLE hand.state (LIKE public.state INCLUDING INDEXES);
		CREATE TABLE hand.change (LIKE public.change INCLUDING INDEXES); CREATE TABLE hand.word (LIKE public.word INCLUDING INDEXES);
		CREATE TABLE hand.seq (LIKE public.seq INCLUDING ALL); INSERT INTO hand.seq (part, tenant, n, live) VALUES (65536, 1, 0, 0)`); err != nil {
		b.Fatal(err)
	}
	return &byHand{pool}
}

func (h *byHand) create(n int64) error {
	d := device(n)
	ctx := context.Background()
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue("UPDATE hand.seq SET n = n + 1, live = live + 1 WHERE part = 65536")
	batch.Queue(`INSERT INTO hand.state SELECT $1, 65536, 1, n, 0, $2, 0, 0, 0, $3, $4, $5, 0, $6, $7, $8, $9, 160, '', 0, 0, '', '', '', '', '', 0, 0, 0, 0, $7, $8, '', '', $10
		FROM hand.seq WHERE part = 65536`, n, d.ID.S, d.DeviceName.S, d.UserPrincipalName.S, n, d.Issuer.S, d.Thumbprint.S, d.Serial.S, d.Subject.S, certstate.Words(&d))
	batch.Queue("INSERT INTO hand.word (part, tenant, word, k) SELECT 65536, 1, w, $1 FROM unnest($2::text[]) AS w", n, certstate.DistinctWords(certstate.Words(&d)))
	batch.Queue("INSERT INTO hand.change SELECT 65536, n, 1, $1, 'created', 'app:test', 'because', 0 FROM hand.seq WHERE part = 65536", d.ID.S)
	batch.Queue("COMMIT")
	return h.pool.SendBatch(ctx, batch).Close()
}

func (h *byHand) read(kind string, args ...any) error {
	columns := "k, ver, absent, id, revoke_status, revoke_status_changed, revoke_status_changed_offset, device_name, upn, not_after, not_after_offset, issuer, thumbprint, serial, subject, key_usages, ext_key_usages"
	text := "SELECT " + columns + " FROM public.state WHERE tenant = 1 ORDER BY k LIMIT 101"
	if kind == "get" {
		text = "SELECT " + columns + " FROM public.state WHERE part = 65536 AND id = $1"
	}
	rows, err := h.pool.Query(context.Background(), text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var numbers [8]int64
	var texts [9]string
	for rows.Next() {
		if err := rows.Scan(&numbers[0], &numbers[1], &numbers[2], &texts[0], &numbers[3], &numbers[4], &numbers[5], &texts[1], &texts[2], &numbers[6], &numbers[7],
			&texts[3], &texts[4], &texts[5], &texts[6], &numbers[0], &texts[7]); err != nil {
			return err
		}
	}
	return rows.Err()
}
