curl http://localhost:50004/api/0/hosts/webserver01/alerts
