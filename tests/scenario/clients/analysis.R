# Pages, an error and a file, with what R itself has: analysis.R BASE_URL
base <- commandArgs(trailingOnly = TRUE)[1]
options(download.file.method = "libcurl", url.method = "libcurl")
pages <- sapply(1:3, function(n) paste(readLines(url(paste0(base, "/list?page=", n)), warn = FALSE), collapse = "\n"))
print(pages)
none <- tryCatch(suppressWarnings(readLines(url(paste0(base, "/none")))), error = function(e) "an error")
print(none)
file <- tempfile()
invisible(download.file(paste0(base, "/file"), file, quiet = TRUE, mode = "wb"))
print(file.size(file))
print(unname(tools::md5sum(file)))
table <- read.csv(url(paste0(base, "/table.csv")))
print(summary(table$n))
