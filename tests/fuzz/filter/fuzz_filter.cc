// Any text: it is refused with a position, or it evaluates, compiles, and parses again alike.
#include <cstdlib>
#include <string_view>

#include "common/filter/filter.h"
#include "common/status/status.h"
#include "yagura/event/v1/event.pb.h"

namespace {

using namespace yagura;  // NOLINT(google-build-using-namespace)

event::v1::Event Sample() {
  event::v1::Event event;
  event.set_raw("user=admin action=login \xff");
  event.set_user("admin");
  event.mutable_src()->set_ip("\x0a\x01\x02\x03");
  event.mutable_event_time()->set_seconds(1'700'000'000);
  event.add_flaws(event::v1::TRUNCATED);
  auto* field = event.add_fields();
  field->set_name("count");
  field->set_value("12");
  return event;
}

filter::ColumnMap Columns() {
  filter::ColumnMap map;
  map.columns = {{"user", {"user", filter::ColumnType::kString}},
                 {"src.ip", {"src_ip", filter::ColumnType::kIp}},
                 {"event_time", {"event_time", filter::ColumnType::kTime}},
                 {"src.port", {"src_port", filter::ColumnType::kInteger}},
                 {"flaws", {"flaws", filter::ColumnType::kIntegerArray}}};
  map.keyed = {{"fields", "fields[$name]"}};
  map.search = {"lower(raw)"};
  return map;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const event::v1::Event event = Sample();
  static const filter::Schema schema = filter::EventSchema();
  static const filter::ColumnMap columns = Columns();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto filter = filter::Filter::Parse(text, schema, TimePoint(std::chrono::hours(1)));
  if (!filter.ok()) {
    if (Message(filter.status()).find("at position ") == std::string_view::npos) std::abort();
    return 0;
  }
  const auto again =
      filter::Filter::Parse(filter->text(), schema, TimePoint(std::chrono::hours(1)));
  if (!again.ok() || again->Matches(event) != filter->Matches(event)) std::abort();
  (void)filter->ToSql(columns);
  (void)filter->EqualityTerms();
  return 0;
}
