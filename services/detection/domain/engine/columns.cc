#include "services/detection/domain/engine/columns.h"

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/case_fold.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::detection {
namespace {

using event::Core;

bool IsAddress(Core core) {
  return core == Core::kSrcIp || core == Core::kDstIp || core == Core::kSrcTranslatedIp ||
         core == Core::kDstTranslatedIp;
}

std::string RenderNumber(Core core, event::ColumnKind kind, int64_t number) {
  if (core == Core::kSeverity) {
    return ToLower(event::v1::Severity_Name(static_cast<event::v1::Severity>(number)));
  }
  if (core == Core::kAction) {
    return ToLower(event::v1::Action_Name(static_cast<event::v1::Action>(number)));
  }
  if (core == Core::kDuration) return fmt::format("{}", static_cast<double>(number) / 1e9);
  if (kind == event::ColumnKind::kTime) {
    return FormatTime(TimePoint(std::chrono::nanoseconds(number)));
  }
  return fmt::format("{}", static_cast<uint64_t>(number));
}

}  // namespace

TextColumn::TextColumn(const event::Column& column, std::optional<Core> core)
    : rows_(&column.rows) {
  if (column.kind != event::ColumnKind::kText) {
    for (const int64_t number : column.numbers) {
      rendered_.push_back(RenderNumber(*core, column.kind, number));
    }
  } else if (core && IsAddress(*core)) {
    for (const auto bytes : column.texts) {
      rendered_.push_back(event::IpAddress::FromBytes(bytes).ToString());
    }
  } else {
    texts_ = column.texts;
  }
  if (!rendered_.empty()) texts_.assign(rendered_.begin(), rendered_.end());

  size_t total = 0;
  for (const auto text : texts_) total += MaxFoldedSize(text.size());
  folded_bytes_ = std::make_unique_for_overwrite<char[]>(total);
  folded_.reserve(texts_.size());
  char* out = folded_bytes_.get();
  for (const auto text : texts_) {
    char* const begin = out;
    out = FoldCaseInto(text, out);
    folded_.emplace_back(begin, static_cast<size_t>(out - begin));
  }
}

}  // namespace yagura::detection
