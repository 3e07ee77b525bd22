curl http://localhost:50004/api/0/alerts | jq .
