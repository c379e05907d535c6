#pragma once

#include "absl/status/statusor.h"

#include "common/filter/node.h"
#include "common/filter/sql.h"

namespace yagura::filter {

// Private to common/filter.
absl::StatusOr<Sql> CompileToSql(const Node& root, const ColumnMap& columns);

}  // namespace yagura::filter
