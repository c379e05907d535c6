#pragma once

#include <string>

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/pattern.h"

namespace yagura::cli {

// What placeholders stand for, from a map of names to a value or a list of values, in YAML or JSON:
// "internal_networks: [10.0.0.0/8]". NOT_FOUND where the file cannot be read, INVALID_ARGUMENT with
// its name and line where it is not that.
absl::StatusOr<detection::Placeholders> ReadPlaceholders(const std::string& file);

}  // namespace yagura::cli
