#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace yagura::cli {

// What is told of each file: where it is from ("rules.zip:windows/whoami.yml" within an archive),
// and its text or why it cannot be read.
using VisitRuleFile =
    std::function<absl::Status(const std::string& source, absl::StatusOr<std::string> text)>;

// The rule files of a path: of a folder every .yml and .yaml below it, in order of their paths; of
// an archive (.tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .tar.zst, .zip) the same in its order; any
// other file itself. Nothing of an archive is written to disk; links within are passed over. Ends
// with what `visit` answers where that is an error; else NOT_FOUND (NO_RULES) for a path that is
// not there or has no rule file, and INVALID_ARGUMENT (ARCHIVE_UNREADABLE, ARCHIVE_TOO_LARGE),
// after what came before the damage has been told. All entries of an archive may be 200,000, and
// `max_bytes` unpacked, whatever sizes they are said to have.
absl::Status ForEachRuleFile(const std::string& path, const VisitRuleFile& visit,
                             int64_t max_bytes = int64_t{1} << 30);

}  // namespace yagura::cli
