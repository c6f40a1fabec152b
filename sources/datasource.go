package sources

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// dataSource matches the form in which a step-ca's configuration names a MySQL
// database, USER:PASSWORD@tcp(HOST:PORT)/DATABASE, though it may be faulty: what has
// a password is never taken for the path of a file, which errors name.
var dataSource = regexp.MustCompile(`^[^/.].*@(tcp6?|unix)?[(/]`)

// asURL is how a database is named everywhere but in a step-ca's configuration:
// passwords are hidden in URLs.
func asURL(where string) (string, error) {
	if strings.Contains(where, "://") || !dataSource.MatchString(where) {
		return where, nil
	}
	config, err := mysql.ParseDSN(where)
	if err != nil || config.Net != "unix" && !strings.HasPrefix(config.Net, "tcp") {
		return "", errors.New("the step-ca's dataSource cannot be read: give it as in ca.json, USER:PASSWORD@tcp(HOST:PORT)/DATABASE") // err may name parts of the password
	}
	u := url.URL{Scheme: "mysql", User: url.UserPassword(config.User, config.Passwd), Host: config.Addr, Path: "/" + config.DBName}
	_, u.RawQuery, _ = strings.Cut(where[strings.LastIndex(where, "/"):], "?")
	if config.Net == "unix" {
		u.Host = ""
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&socket="+url.QueryEscape(config.Addr), "&")
	}
	return u.String(), nil
}

// mysqlConfig reads a URL mysql://USER:PASSWORD@HOST:PORT/DATABASE. The parameter
// socket is the path of a server's socket; the others are the driver's. Without the
// parameter tls the connection is encrypted if the server can, as it is with
// PostgreSQL.
func mysqlConfig(where string) (*mysql.Config, error) {
	u, err := url.Parse(where)
	if err != nil || u.User.Username() == "" {
		return nil, errors.New("name a user who may read the step-ca's database: mysql://USER:PASSWORD@HOST/DATABASE")
	}
	database := strings.TrimPrefix(u.Path, "/")
	if database == "" || strings.Contains(database, "/") {
		return nil, errors.New("name the step-ca's database, which its ca.json may have in a line of its own: mysql://USER:PASSWORD@HOST/DATABASE")
	}
	query := u.Query()
	socket := query.Get("socket")
	query.Del("socket")
	config, err := mysql.ParseDSN("/?" + query.Encode())
	if err != nil {
		return nil, errors.New("the parameters of the step-ca's database: " + err.Error())
	}
	config.User, config.DBName = u.User.Username(), database
	config.Passwd, _ = u.User.Password()
	config.TLS = nil // it was made for another host; the connector makes it of TLSConfig
	if socket != "" {
		config.Net, config.Addr = "unix", socket
	} else {
		config.Addr = net.JoinHostPort(cmp.Or(u.Hostname(), "127.0.0.1"), cmp.Or(u.Port(), "3306"))
		config.TLSConfig = cmp.Or(config.TLSConfig, "preferred")
	}
	return config, nil
}
