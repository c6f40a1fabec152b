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
		bodies[i] = bodyOf(x, sourceMembers, &list[i])
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
	return x.document(x.root()+"/$metadata#"+sources+"/$entity", bodyOf(x, sourceMembers, &src))
}

// sourceMembers are those of certstate.source.
var sourceMembers = []member[store.Source]{
	told("id", textType, "The source's name.", func(s *store.Source) any { return s.Name }),
	told("kind", textType, "What it is, such as step-ca.", func(s *store.Source) any { return s.Kind }),
	told("createdDateTime", nullable(timeType), "When it was added.", func(s *store.Source) any { return moment(s.Created) }),
	told("lastSeenDateTime", nullable(timeType), "When it last told anything.", func(s *store.Source) any { return moment(s.Seen) }),
	told("watermarkDateTime", nullable(timeType), "All that it had by then is known here.", func(s *store.Source) any { return moment(s.Watermark) }),
	told("lastTriedDateTime", nullable(timeType), "When its database was last read, or tried to be.", func(s *store.Source) any { return moment(s.Tried) }),
	told("fault", nullable(textType), "Why that failed.", func(s *store.Source) any { return textOrNull(s.Fault) }),
	told("knownCount", numberType, "Certificates that are known of it.", func(s *store.Source) any { return s.Known() }),
	told("notifiedCount", numberType, "Those that it told of by itself.", func(s *store.Source) any { return s.Notified }),
	told("gapCount", numberType, "Those that it should have told of, and did not.", func(s *store.Source) any { return s.Recovered }),
	told("unannouncedCount", numberType, "Those that it tells nobody of.", func(s *store.Source) any { return s.Unannounced }),
	told("noLongerReportedCount", numberType, "Those that it has no more.", func(s *store.Source) any { return s.Gone }),
}

// gapMembers are those of certstate.gap.
var gapMembers = []member[store.Gap]{
	told("serialNumber", textType, "The certificate's serial number, as the source writes it.", func(g *store.Gap) any { return g.Key }),
	told("certificateSha256Thumbprint", nullable(textType), "Its SHA-256, if a record was made of it.", func(g *store.Gap) any { return textOrNull(g.SHA256) }),
	told("issuedDateTime", nullable(timeType), "When it was issued.", func(g *store.Gap) any { return moment(g.Issued) }),
	told("foundDateTime", nullable(timeType), "When it was found.", func(g *store.Gap) any { return moment(g.Found) }),
	told("recoveredBy", textType, "What found it.", func(*store.Gap) any { return "reconcile" }),
	told("issuedBy", nullable(textType), "The provisioner that issued it.", func(g *store.Gap) any { return textOrNull(g.Origin) }),
}

func moment(at edm.DateTimeOffset) any {
	if at.Ticks == 0 {
		return nil
	}
	return at.Text()
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
		body["@odata.context"] = x.root() + "/$metadata#" + odata.SourcePath(x.key) + "/gaps"
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
			list = append(list, bodyOf(x, gapMembers, &g))
			after = g.Key
			return nil
		}
		at, err := json.Marshal([2]string{x.key, after})
		next = x.link(sources+"/"+x.key+"/gaps", q, odata.GapPageToken, at)
		return err
	})
	return list, next, err
}
