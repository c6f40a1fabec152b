package api

import (
	"net/http"
	"strings"

	"certstate"
	"certstate/odata"
	"certstate/store"
)

// delta answers with a page of what the register became since the client's
// last round, or of all there is.
func (x *exchange) delta() error {
	q, err := odata.ParseQuery(x.r.URL.RawQuery, odata.DeltaOptions)
	if err != nil {
		return err
	}
	q.Select |= certstate.KeySet
	round, err := x.round(&q)
	x.preferPageSize(&q)
	if err == nil {
		err = x.deltaPage(&q, round)
	}
	if certstate.ErrorCode(err) == certstate.Gone { // Graph says where to start again
		x.w.Header().Set("Location", strings.TrimSuffix(x.root()+"/"+delta+"?"+q.String(), "?"))
	}
	return err
}

func (x *exchange) deltaPage(q *odata.Query, round store.Round) error {
	sh := x.shape(q)
	return x.built(http.StatusOK, func(b []byte) ([]byte, error) {
		b = sh.AppendDeltaHead(b)
		first := len(b)
		next, more, err := x.s.cfg.Store.Delta(x.r.Context(), x.tenant, q, round, q.PageSize(0), func(told store.Told) error {
			if len(b) > first {
				b = append(b, ',')
			}
			if told.State == nil {
				b = sh.AppendRemoved(b, told.ID, told.Reason)
			} else {
				b = sh.AppendItem(b, told.State)
			}
			return nil
		})
		if err != nil {
			return b, err
		}
		link := x.link(delta, q, odata.DeltaToken, next.Head.Bytes())
		if more {
			link = x.link(delta, q, odata.DeltaPageToken, next.Bytes())
		}
		return sh.AppendDeltaTail(b, more, link), nil
	})
}

// round is the round that the request's token goes on with, or begins.
func (x *exchange) round(q *odata.Query) (store.Round, error) {
	db, ctx := x.s.cfg.Store, x.r.Context()
	switch {
	case q.SkipToken != "" && q.Delta != "":
		return store.Round{}, certstate.Errorf(certstate.Invalid, "$skiptoken", "$skiptoken and $deltatoken do not go together: follow the last link unchanged.")
	case q.SkipToken != "":
		at, err := x.s.sealer.Open(odata.DeltaPageToken, x.tenant.ID, q, q.SkipToken)
		if err != nil {
			return store.Round{}, err
		}
		return store.ParseRound(at)
	case q.Delta == "":
		return db.FirstRound(ctx, x.tenant)
	case strings.EqualFold(q.Delta, "latest"):
		return db.EmptyRound(ctx, x.tenant)
	}
	at, err := x.s.sealer.Open(odata.DeltaToken, x.tenant.ID, q, q.Delta)
	if err != nil {
		return store.Round{}, err
	}
	mark, err := store.ParseMark(at)
	if err != nil {
		return store.Round{}, err
	}
	return db.NextRound(ctx, x.tenant, mark)
}
