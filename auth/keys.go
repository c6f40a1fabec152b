package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Bounds on what is fetched from an issuer, and how often.
const (
	fetchTimeout  = 5 * time.Second
	maxDocument   = 1 << 20 // bytes of a discovery document or key set
	keysMaxAge    = 24 * time.Hour
	refreshBefore = 12 * time.Hour // a set this old is renewed beside the requests
	burst         = 3              // fetches in a pause: the first, and a sudden roll-over
)

// key is a signing key and the issuer it is meant for.
type key struct {
	jwk    jose.JSONWebKey
	issuer string // Entra's "issuer" member, maybe with {tenantid}; "" if absent
}

// keySet is the keys of one issuer, or of one issuer's tenant. It keeps the last good
// ones: an issuer that is down or talks nonsense takes nothing away until
// keysMaxAge.
type keySet struct {
	metadata string // discovery URL
	issuer   string // what the document must say of itself, "" for a document of all tenants
	template string // or this
	client   *http.Client
	now      func() time.Time
	log      *slog.Logger
	pause    time.Duration // in which no more than burst fetches begin

	state atomic.Pointer[keys]

	mu     sync.Mutex  // one fetch at a time
	recent []time.Time // when the last fetches began, at most burst
}

type keys struct {
	byID       map[string]key
	fetched    time.Time
	generation int // grows when the keys change
}

// find returns the key with the id. One that is not known causes a fetch,
// unless there were too many of late; a set that has aged is renewed
// without waiting.
func (s *keySet) find(ctx context.Context, kid string) (k key, generation int, err error) {
	ks := s.state.Load()
	now := s.now()
	if ks != nil && now.Sub(ks.fetched) < keysMaxAge {
		if k, ok := ks.byID[kid]; ok {
			if now.Sub(ks.fetched) > refreshBefore {
				go s.renew(context.WithoutCancel(ctx), ks)
			}
			return k, ks.generation, nil
		}
	}
	s.refresh(ctx, ks)
	ks = s.state.Load()
	if ks == nil || now.Sub(ks.fetched) >= keysMaxAge {
		return key{}, 0, fmt.Errorf("no keys of %s", s.metadata)
	}
	k, ok := ks.byID[kid]
	if !ok {
		return key{}, 0, fmt.Errorf("the issuer has no key %q", kid)
	}
	return k, ks.generation, nil
}

// current reports whether the generation is still what the issuer last published.
func (s *keySet) current(generation int, now time.Time) bool {
	ks := s.state.Load()
	return ks.generation == generation && now.Sub(ks.fetched) < keysMaxAge
}

// refresh fetches the keys unless somebody else has since seen was loaded, or
// there were too many attempts of late. A failure is logged and takes nothing
// away.
func (s *keySet) refresh(ctx context.Context, seen *keys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetchOnce(ctx, seen)
}

// renew is refresh for those who need not wait: while one fetch is under way,
// the rest go on with what there is.
func (s *keySet) renew(ctx context.Context, seen *keys) {
	if s.mu.TryLock() {
		defer s.mu.Unlock()
		s.fetchOnce(ctx, seen)
	}
}

func (s *keySet) fetchOnce(ctx context.Context, seen *keys) {
	if s.state.Load() != seen {
		return
	}
	now := s.now()
	if len(s.recent) == burst {
		if now.Sub(s.recent[0]) < s.pause {
			return
		}
		s.recent = s.recent[1:]
	}
	s.recent = append(s.recent, now)
	// Not the request's context: the answer is for everyone who waits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	byID, err := s.fetch(ctx)
	if err != nil {
		s.log.Warn("signing keys not fetched; the last good ones stay in use", "issuer", s.metadata, "error", err)
		return
	}
	generation := 1
	if seen != nil {
		generation = seen.generation
		if !maps.EqualFunc(seen.byID, byID, sameKey) {
			generation++
		}
	}
	s.state.Store(&keys{byID, now, generation})
}

func sameKey(a, b key) bool {
	ta, errA := a.jwk.MarshalJSON()
	tb, errB := b.jwk.MarshalJSON()
	return errA == nil && errB == nil && string(ta) == string(tb) && a.issuer == b.issuer
}

func (s *keySet) fetch(ctx context.Context) (map[string]key, error) {
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := s.get(ctx, s.metadata, &doc); err != nil {
		return nil, err
	}
	// OpenID Connect Discovery §4.3: the document must be the issuer's own.
	// Entra's, which serve all tenants, give the template.
	if s.issuer != "" && doc.Issuer != s.issuer && doc.Issuer != s.template {
		return nil, fmt.Errorf("%s names the issuer %q, not %q", s.metadata, doc.Issuer, s.issuer)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, doc.Keys, &set); err != nil {
		return nil, err
	}
	byID := map[string]key{}
	for _, raw := range set.Keys {
		var k key
		var more struct {
			Issuer string `json:"issuer"`
		}
		// Keys of kinds we do not know are none of ours; the rest still count.
		if json.Unmarshal(raw, &k.jwk) != nil || json.Unmarshal(raw, &more) != nil {
			continue
		}
		if k.jwk.Use == "enc" || k.jwk.KeyID == "" || !k.jwk.Valid() || !k.jwk.IsPublic() {
			continue
		}
		k.issuer = more.Issuer
		byID[k.jwk.KeyID] = k
	}
	if len(byID) == 0 {
		return nil, fmt.Errorf("%s has no usable signing key", doc.Keys)
	}
	return byID, nil
}

func (s *keySet) get(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return err
	}
	if len(body) > maxDocument {
		return fmt.Errorf("%s is larger than %d bytes", url, maxDocument)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}
