#include "services/detection/domain/engine/columns.h"

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/text/text.h"
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
    : rows_(&column.rows), texts_(&column.texts) {
  const bool numbers = column.kind != event::ColumnKind::kText;
  if (numbers || (core && IsAddress(*core))) {
    rendered_ = std::make_unique<Rendered>();
    for (const int64_t number : column.numbers) {
      rendered_->texts.push_back(RenderNumber(*core, column.kind, number));
    }
    if (!numbers) {
      for (const auto bytes : column.texts) {
        rendered_->texts.push_back(event::IpAddress::FromBytes(bytes).ToString());
      }
    }
    rendered_->views.assign(rendered_->texts.begin(), rendered_->texts.end());
    texts_ = &rendered_->views;
  }
}

}  // namespace yagura::detection
