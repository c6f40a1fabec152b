package auth

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

// Issuer is one issuer of tokens that the configuration trusts.
type Issuer struct {
	// Template is the iss claim with {tenantid} in the tenant's place.
	Template string
	// Tenant is the one tenant of an issuer without {tenantid}.
	Tenant string
	// Algorithms its keys may sign with; RS256 unless configured.
	Algorithms []jose.SignatureAlgorithm
	// Metadata is the discovery document's URL, with {tenantid} where each
	// tenant has its own keys.
	Metadata string
	// Version is the ver claim its tokens carry, or "" for any.
	Version string
}

const tenantMark = "{tenantid}"

// cloud is a row of the table of Microsoft's clouds (Entra documentation,
// "National clouds"). China's v1 tokens have a host of their own.
type cloud struct{ name, authority, v1Host string }

var clouds = []cloud{
	{"global", "https://login.microsoftonline.com", "https://sts.windows.net"},
	{"usgov", "https://login.microsoftonline.us", "https://sts.windows.net"},
	{"dod", "https://login.microsoftonline.us", "https://sts.windows.net"},
	{"china", "https://login.partner.microsoftonline.cn", "https://sts.chinacloudapi.cn"},
}

var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

var guid = regexp.MustCompile(`(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// ParseIssuer reads an issuer as the configuration writes it: entra:CLOUD for
// both token versions of a Microsoft cloud, or the iss claim with {tenantid}
// in it, followed by options: alg=ES256,RS256 and tenant=GUID.
//
//	entra:global
//	https://login.microsoftonline.com/{tenantid}/v2.0
//	https://idp.example.com/realms/fleet alg=ES256 tenant=8d9f61b2-…
func ParseIssuer(spec string) ([]Issuer, error) {
	fields := strings.Fields(spec)
	if len(fields) == 0 {
		return nil, fmt.Errorf("issuer is empty: name one, such as entra:global")
	}
	if name, ok := strings.CutPrefix(fields[0], "entra:"); ok {
		if len(fields) > 1 {
			return nil, fmt.Errorf("issuer %q: %s takes no options", spec, fields[0])
		}
		return entra(name)
	}
	is := Issuer{Template: fields[0], Algorithms: []jose.SignatureAlgorithm{jose.RS256}}
	for _, opt := range fields[1:] {
		if err := is.option(opt); err != nil {
			return nil, fmt.Errorf("issuer %q: %w", spec, err)
		}
	}
	if err := is.complete(); err != nil {
		return nil, fmt.Errorf("issuer %q: %w", spec, err)
	}
	return []Issuer{is}, nil
}

func entra(name string) ([]Issuer, error) {
	i := slices.IndexFunc(clouds, func(c cloud) bool { return c.name == name })
	if i < 0 {
		return nil, fmt.Errorf("issuer entra:%s: the clouds are entra:global, entra:usgov, entra:dod and entra:china", name)
	}
	c := clouds[i]
	rs256 := []jose.SignatureAlgorithm{jose.RS256}
	return []Issuer{
		{Template: c.authority + "/" + tenantMark + "/v2.0", Version: "2.0", Algorithms: rs256,
			Metadata: c.authority + "/common/v2.0/.well-known/openid-configuration"},
		{Template: c.v1Host + "/" + tenantMark + "/", Version: "1.0", Algorithms: rs256,
			Metadata: c.authority + "/common/.well-known/openid-configuration"},
	}, nil
}

func (is *Issuer) option(opt string) error {
	name, value, _ := strings.Cut(opt, "=")
	switch name {
	case "alg":
		is.Algorithms = nil
		for a := range strings.SplitSeq(value, ",") {
			if !slices.Contains(algorithms, jose.SignatureAlgorithm(a)) {
				return fmt.Errorf("algorithm %q is not one of %v", a, algorithms)
			}
			is.Algorithms = append(is.Algorithms, jose.SignatureAlgorithm(a))
		}
	case "tenant":
		if uuid.Validate(value) != nil || len(value) != 36 {
			return fmt.Errorf("tenant %q is not a GUID", value)
		}
		is.Tenant = strings.ToLower(value)
	default:
		return fmt.Errorf("option %q is not alg=… or tenant=…", opt)
	}
	return nil
}

func (is *Issuer) complete() error {
	u, err := url.Parse(strings.ReplaceAll(is.Template, tenantMark, "x"))
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("an issuer is an https URL")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(u.Hostname())) {
		return fmt.Errorf("an issuer must be https; http is for loopback only")
	}
	if strings.Contains(is.Template, tenantMark) == (is.Tenant != "") {
		if is.Tenant != "" {
			return fmt.Errorf("it has both {tenantid} and tenant=")
		}
		is.Tenant = strings.ToLower(guid.FindString(is.Template))
		if is.Tenant == "" {
			return fmt.Errorf("it has no {tenantid}: add tenant=GUID, the tenant its tokens speak for")
		}
	}
	if strings.HasSuffix(is.Template, tenantMark+"/v2.0") {
		is.Version = "2.0"
	} else if strings.HasSuffix(is.Template, tenantMark+"/") {
		is.Version = "1.0"
	}
	is.Metadata = cmp.Or(is.Metadata, strings.TrimSuffix(is.Template, "/")+"/.well-known/openid-configuration")
	return nil
}

// IsLoopback reports whether a host name or address is this machine's own.
func IsLoopback(host string) bool {
	return host == "localhost" || host == "::1" || host == "127.0.0.1" || strings.HasPrefix(host, "127.")
}

// fill puts the tenant into a template.
func fill(template, tenant string) string { return strings.ReplaceAll(template, tenantMark, tenant) }
