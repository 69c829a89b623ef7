module flowbridge/bench/load

go 1.26
