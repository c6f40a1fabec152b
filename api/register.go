package api

import (
	"net/http"

	"certstate/odata"
	"certstate/store"
)

// maxRegistered bounds the certificates of one request; all of them are
// registered in one transaction.
const maxRegistered = 1000

// registerStates makes each certificate on each device one record, and answers
// with the records in the order of the request.
func (x *exchange) registerStates() error {
	q, err := odata.ParseQuery(x.r.URL.RawQuery, odata.WriteOptions)
	if err != nil {
		return err
	}
	by, err := x.cause()
	if err != nil {
		return err
	}
	bodies, err := decoded(x, func(data []byte) ([]odata.Body, error) { return odata.DecodeStates(data, maxRegistered) })
	if err != nil {
		return err
	}
	list := make([]store.Registration, len(bodies))
	for i := range bodies {
		list[i] = store.Registration{State: bodies[i].State, Set: bodies[i].Sent}
	}
	states, err := x.s.cfg.Store.Register(x.r.Context(), x.tenant, list, by)
	if err != nil {
		return err
	}
	sh := odata.ShapeOf(x.root(), &q, x.rep.Level)
	return x.built(http.StatusOK, func(b []byte) ([]byte, error) {
		b = sh.AppendCollectionHead(b, -1)
		for i := range states {
			if i > 0 {
				b = append(b, ',')
			}
			b = sh.AppendItem(b, &states[i])
		}
		return sh.AppendCollectionTail(b, ""), nil
	})
}
