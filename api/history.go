package api

import (
	"encoding/binary"
	"net/http"

	"certstate"
	"certstate/odata"
)

// history answers with a page of the changes of one record, oldest first. A
// deleted record has one too.
func (x *exchange) history() error {
	q, err := odata.ParseQuery(x.r.URL.RawQuery, odata.HistoryOptions)
	if err != nil {
		return err
	}
	var after int64
	if q.SkipToken != "" {
		at, err := x.s.sealer.Open(odata.HistoryPageToken, x.tenant.ID, &q, q.SkipToken)
		if err != nil {
			return err
		}
		if string(at[8:]) != x.key {
			return certstate.Errorf(certstate.Invalid, "$skiptoken", "The $skiptoken is of another record's history.")
		}
		after = int64(binary.BigEndian.Uint64(at))
	}
	x.preferPageSize(&q)
	sh := odata.Shape{Root: x.root(), Level: x.rep.Level, Epoch: x.tenant.Epoch, IEEE754: x.rep.IEEE754}
	return x.built(http.StatusOK, func(b []byte) ([]byte, error) {
		b = sh.AppendHistoryHead(b)
		n, more := 0, false
		err := x.s.cfg.Store.History(x.r.Context(), x.tenant, x.key, after, q.PageSize(0)+1, func(c *certstate.Change) error {
			if more = n == q.PageSize(0); more {
				return nil
			}
			if n > 0 {
				b = append(b, ',')
			}
			b = sh.AppendChange(b, c)
			n, after = n+1, c.Seq
			return nil
		})
		if err != nil {
			return b, err
		}
		next := ""
		if more {
			at := append(binary.BigEndian.AppendUint64(nil, uint64(after)), x.key...)
			next = x.link(odata.KeyPath(x.key)+"/certstate.history()", &q, odata.HistoryPageToken, at)
		}
		return sh.AppendCollectionTail(b, next), nil
	})
}
