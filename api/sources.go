package api

import (
	"encoding/json"
	"net/http"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

// listSources answers with the tenant's live sources and how they are. Their
// settings stay with the operator.
func (x *exchange) listSources() error {
	list, err := x.s.cfg.Store.Sources(x.r.Context(), x.tenant)
	if err != nil {
		return err
	}
	bodies := make([]map[string]any, len(list))
	for i := range list {
		bodies[i] = x.sourceBody(&list[i])
	}
	return x.document(x.root()+"/$metadata#"+sources, map[string]any{"value": bodies})
}

func (x *exchange) getSource() error {
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, odata.FormatOption); err != nil {
		return err
	}
	src, err := x.s.cfg.Store.Source(x.r.Context(), x.tenant, x.key)
	if err != nil {
		return err
	}
	return x.document(x.root()+"/$metadata#"+sources+"/$entity", x.sourceBody(&src))
}

// sourceBody is a source in JSON; a time that has not been is null.
func (x *exchange) sourceBody(src *store.Source) map[string]any {
	return map[string]any{
		"id": src.Name, "kind": src.Kind, "createdDateTime": moment(src.Created),
		"lastSeenDateTime": moment(src.Seen), "watermarkDateTime": moment(src.Watermark), "lastTriedDateTime": moment(src.Tried), "fault": orNull(src.Fault),
		"knownCount": src.Known(), "notifiedCount": src.Notified, "gapCount": src.Recovered, "unannouncedCount": src.Unannounced, "noLongerReportedCount": src.Gone,
	}
}

func moment(at edm.DateTimeOffset) any {
	if at.Ticks == 0 {
		return nil
	}
	return at.Text()
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// listGaps answers with a page of the certificates that a source should have told of
// and did not, in the order of their serial numbers' text.
func (x *exchange) listGaps() error {
	q, err := odata.ParseQuery(x.r.URL.RawQuery, odata.RejectOptions)
	if err != nil {
		return err
	}
	if _, err := x.s.cfg.Store.Source(x.r.Context(), x.tenant, x.key); err != nil {
		return err
	}
	after := ""
	if q.SkipToken != "" {
		at, err := x.s.sealer.Open(odata.GapPageToken, x.tenant.ID, &q, q.SkipToken)
		if err != nil {
			return err
		}
		var of string
		if json.Unmarshal(at, &[2]*string{&of, &after}) != nil || of != x.key {
			return certstate.Errorf(certstate.Invalid, "$skiptoken", "The $skiptoken is of another source's gaps.")
		}
	}
	x.preferPageSize(&q)
	list, next, err := x.gaps(&q, after)
	if err != nil {
		return err
	}
	body := map[string]any{"value": list}
	if next != "" {
		body["@odata.nextLink"] = next
	}
	if x.rep.Level != odata.None {
		body["@odata.context"] = x.root() + "/$metadata#" + sources + "/" + x.key + "/gaps"
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, text)
}

// gaps are a page of gaps after a key, and the link to the next page, if there is one.
func (x *exchange) gaps(q *odata.Query, after string) (list []map[string]any, next string, err error) {
	list = []map[string]any{}
	err = x.s.cfg.Store.Gaps(x.r.Context(), x.tenant, x.key, after, q.PageSize(0)+1, func(g store.Gap) error {
		if len(list) < q.PageSize(0) {
			list = append(list, map[string]any{"serialNumber": g.Key, "certificateSha256Thumbprint": orNull(g.SHA256), "issuedDateTime": moment(g.Issued),
				"foundDateTime": moment(g.Found), "recoveredBy": "reconcile", "issuedBy": orNull(g.Origin)})
			after = g.Key
			return nil
		}
		at, err := json.Marshal([2]string{x.key, after})
		next = x.link(sources+"/"+x.key+"/gaps", q, odata.GapPageToken, at)
		return err
	})
	return list, next, err
}
