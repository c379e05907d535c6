#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/filter/node.h"
#include "common/filter/schema.h"

namespace yagura::filter {

// The tree of an expression; null for empty text. Private to common/filter.
absl::StatusOr<std::shared_ptr<const Node>> ParseExpression(std::string_view text,
                                                            const Schema& schema,
                                                            std::optional<TimePoint> now);

}  // namespace yagura::filter
