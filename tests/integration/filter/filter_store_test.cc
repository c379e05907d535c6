// The two back ends of a filter agree: random filters over random events, evaluated on the messages
// and by the event store over archive's own table.
#include <random>
#include <set>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/event/event_view.h"
#include "common/eventstore/client.h"
#include "common/filter/filter.h"
#include "common/testing/event_store.h"
#include "common/testing/status_matchers.h"
#include "common/text/text.h"
#include "services/archive/domain/event_block.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/storage/migrations.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura {
namespace {

using archive::EventTable;
using filter::ColumnType;
using yagura::testing::IsOk;

constexpr int kEvents = 600;
constexpr int kFilters = 2000;
const TimePoint kStart{std::chrono::seconds(1'790'000'000)};

// Texts that are alike in all the ways that matter to comparisons and LIKE patterns.
const std::vector<std::string>& Words() {
  static const std::vector<std::string> words = {"",
                                                 "alpha",
                                                 "Alpha",
                                                 "ALPHABET",
                                                 "alp",
                                                 "a*b",
                                                 "axb",
                                                 "100%",
                                                 "100",
                                                 "x_y",
                                                 "xzy",
                                                 "back\\slash",
                                                 "\\",
                                                 "\\%",
                                                 "quote\"d",
                                                 "it's",
                                                 "東京",
                                                 "tab\tbed",
                                                 "line\nend",
                                                 "10.0.0.1",
                                                 "-5",
                                                 "42",
                                                 "042",
                                                 "9999999999999999999",
                                                 "4.2",
                                                 "{p0:String}",
                                                 "ＡＬＰＨＡ",
                                                 "ｶﾞｰﾄﾞ",
                                                 "ガード",
                                                 "Ärger",
                                                 "ärger",
                                                 "ａｌｐ",
                                                 "\\u6771\\u4EAC",
                                                 "\\\\u6771",
                                                 "\\ud83d\\ude00",
                                                 "\\ud83d",
                                                 "\\u0041",
                                                 "😀"};
  return words;
}

// Bytes that only bytes fields can hold.
const std::vector<std::string>& WildWords() {
  static const std::vector<std::string> words = {
      std::string("nul\0byte", 8), "\xff\xfe", "al\xffpha", "\xc3", "\xc3\xa4", "\xc3\x84"};
  return words;
}

class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  size_t Below(size_t limit) { return random_() % limit; }
  bool Chance(int percent) { return Below(100) < static_cast<size_t>(percent); }
  template <typename Range>
  const auto& OneOf(const Range& range) {
    return range[Below(range.size())];
  }

  std::string Word() { return OneOf(Words()); }
  std::string Bytes() { return Chance(25) ? OneOf(WildWords()) : Word(); }
  std::string Line() {
    std::string line;
    for (size_t i = Below(4); i-- > 0;) line += Bytes() + (Chance(60) ? " " : "");
    return line;
  }
  uint64_t Number() {
    static const std::vector<uint64_t> numbers = {0, 1, 42, 443, 65535, 1ULL << 31, 1ULL << 40};
    return OneOf(numbers);
  }
  TimePoint Time() { return kStart + std::chrono::milliseconds(500) * static_cast<int>(Below(20)); }
  std::string IpBytes() {
    switch (Below(5)) {
      case 0:
        return "";
      case 1:
        return std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') +
               static_cast<char>(Below(4));
      default:
        return std::string("\x0a\0", 2) + static_cast<char>(Below(2)) + static_cast<char>(Below(6));
    }
  }
  const std::string& FieldName() {
    // Some are the names of fields that may lie in a core column.
    static const std::vector<std::string> names = {
        "user", "odd name", "count", "a'b", "dotted.name", "srcip", "sentbyte", "duration", "msg"};
    return OneOf(names);
  }

 private:
  std::mt19937 random_;
};

void FillEndpoint(Generator& g, event::v1::Endpoint& endpoint) {
  endpoint.set_ip(g.IpBytes());
  endpoint.set_port(static_cast<uint32_t>(g.Number() % 65536));
  endpoint.set_translated_ip(g.IpBytes());
  endpoint.set_translated_port(static_cast<uint32_t>(g.Number() % 65536));
  endpoint.set_host(g.Word());
  endpoint.set_interface(g.Word());
  endpoint.set_zone(g.Word());
  endpoint.set_country(g.Word());
}

// What the core says of that field, so that the field may lie there.
std::string CoreValue(const event::v1::Event& event, std::string_view field) {
  if (field == "user") return event.user();
  if (field == "msg") return event.message();
  if (field == "sentbyte") return fmt::format("{}", event.bytes_out());
  if (field == "duration") return fmt::format("{}", event.duration().seconds());
  return event::IpAddress::FromBytes(event.src().ip()).ToString();
}

event::v1::Event RandomEvent(Generator& g, int number) {
  event::v1::Event event;
  event.set_id(fmt::format("batch-{}", number));
  event.set_tenant("acme");
  const TimePoint received = g.Time();
  *event.mutable_receive_time() = ToProto(received);
  *event.mutable_event_time() = ToProto(g.Time());
  event.set_raw(g.Line());
  event.set_message(g.Bytes());
  event.set_severity(static_cast<event::v1::Severity>(g.Below(6)));
  event.set_action(static_cast<event::v1::Action>(g.Below(9)));
  FillEndpoint(g, *event.mutable_src());
  FillEndpoint(g, *event.mutable_dst());
  event.set_device(g.Word());
  event.set_user(g.Word());
  event.set_url(g.Word());
  event.set_rule(g.Word());
  event.set_signature(g.Word());
  event.set_protocol(g.Word());
  event.set_bytes_out(g.Number());
  event.set_bytes_in(g.Number());
  if (g.Chance(50)) {
    *event.mutable_duration() = ToProtoDuration(std::chrono::milliseconds(500) * int(g.Below(4)));
  }
  if (g.Chance(30)) event.add_flaws(event::v1::TRUNCATED);
  if (g.Chance(30)) event.add_flaws(event::v1::UNPARSED);
  for (size_t i = g.Below(5); i-- > 0;) {
    auto* field = event.add_fields();
    field->set_name(g.FieldName());
    field->set_value(g.Chance(60) ? CoreValue(event, field->name()) : g.Bytes());
  }
  return event;
}

// Writes expressions that mean something for the columns that archive has.
class FilterWriter {
 public:
  FilterWriter(Generator& g, const EventTable& table) : g_(g) {
    for (const auto& column : table.columns()) {
      if (!column.path.empty() && column.path != "fields") columns_.push_back(&column);
    }
  }

  std::string Expression(int depth) {
    if (depth == 0 || g_.Chance(25)) return Term();
    const std::string left = Expression(depth - 1);
    const std::string right = Expression(depth - 1);
    switch (g_.Below(5)) {
      case 0:
        return fmt::format("({} OR {})", left, right);
      case 1:
        return fmt::format("NOT ({})", left);
      case 2:
        return fmt::format("-({} {})", left, right);
      case 3:
        return fmt::format("{} {} OR {}", left, right, Term());
      default:
        return fmt::format("({} AND {})", left, right);
    }
  }

 private:
  std::string Term() {
    const size_t kind = g_.Below(10);
    if (kind == 0)
      return Quoted(g_.Chance(50) ? g_.Word() : g_.Bytes().substr(0, 6), g_.Chance(20));
    if (kind <= 2) return KeyedTerm();
    return ColumnTerm(*g_.OneOf(columns_));
  }

  // In quotes, with everything escaped but, if wanted, some wildcards. A filter is valid UTF-8.
  std::string Quoted(const std::string& bytes, bool wild) {
    const std::string text = IsValidUtf8(bytes) ? bytes : "al";
    std::string out = "\"";
    for (size_t i = 0; i < text.size(); ++i) {
      if (wild && (static_cast<uint8_t>(text[i]) & 0xC0U) != 0x80 && g_.Chance(25)) out += '*';
      if (text[i] == '"' || text[i] == '\\' || text[i] == '*') out += '\\';
      if (wild && g_.Chance(20) && (static_cast<uint8_t>(text[i]) & 0x80U) == 0 &&
          out.back() != '\\') {
        out += '*';
      } else {
        out += text[i];
      }
    }
    if (wild && g_.Chance(50)) out += '*';
    return out + '"';
  }

  std::string Order() {
    static const std::vector<std::string> operators = {"=", "!=", "<", "<=", ">", ">="};
    return g_.OneOf(operators);
  }

  std::string TextTest(bool bytes) {
    const std::string word = bytes ? g_.Bytes() : g_.Word();
    switch (g_.Below(6)) {
      case 5:
        return " =~ " + Quoted(word, g_.Chance(30));
      case 0:
        return " = " + Quoted(word, true);
      case 1:
        return ":" + Quoted(word, g_.Chance(30));
      case 2:
        return ":*";
      case 3:
        return Order() + Quoted(word, false);
      default:
        return (g_.Chance(50) ? "=" : "!=") + Quoted(word, false);
    }
  }

  std::string KeyedTerm() {
    const std::string path = fmt::format("fields.\"{}\"", g_.FieldName());
    static const std::vector<std::string> orders = {"<", "<=", ">", ">="};
    switch (g_.Below(4)) {
      case 0:
        return path + g_.OneOf(orders) + fmt::format("{}", static_cast<int>(g_.Below(100)) - 10);
      case 1:
        return fmt::format("fields:\"{}\"", g_.FieldName());
      case 2:
        return path + ":" + Quoted(g_.Bytes(), g_.Chance(30));
      default:
        return path + (g_.Chance(50) ? "=" : "!=") + Quoted(g_.Bytes(), g_.Chance(30));
    }
  }

  std::string Address() {
    static const std::vector<std::string> addresses = {"10.0.0.1",        "10.0.1.3", "2001:db8::2",
                                                       "::ffff:10.0.0.2", "0.0.0.0",  "::1"};
    return g_.OneOf(addresses);
  }

  std::string ColumnTerm(const archive::EventColumn& column) {
    const std::string& path = column.path;
    switch (column.type) {
      case ColumnType::kString:
        return path + TextTest(path == "raw" || path == "message");
      case ColumnType::kInteger:
        if (path == "severity") {
          return path + Order() +
                 event::v1::Severity_Name(static_cast<event::v1::Severity>(g_.Below(6)));
        }
        if (path == "action") {
          return path + Order() +
                 event::v1::Action_Name(static_cast<event::v1::Action>(g_.Below(9)));
        }
        return g_.Chance(10) ? path + ":*" : path + Order() + fmt::format("{}", g_.Number());
      case ColumnType::kTime:
        return g_.Chance(10) ? path + ":*" : path + Order() + FormatTime(g_.Time());
      case ColumnType::kDuration: {
        static const std::vector<std::string> spans = {"0s", "0.5s", "1s", "1m", "500ms"};
        return g_.Chance(10) ? path + ":*" : path + Order() + g_.OneOf(spans);
      }
      case ColumnType::kIp: {
        static const std::vector<std::string> ranges = {"10.0.0.0/24", "10.0.0.2-10.0.1.1",
                                                        "2001:db8::/126", "::/0", "0.0.0.0/0"};
        if (g_.Chance(15)) return path + ":*";
        if (g_.Chance(40)) return path + (g_.Chance(50) ? "=" : "!=") + g_.OneOf(ranges);
        return path + Order() + Address();
      }
      case ColumnType::kIntegerArray: {
        static const std::vector<std::string> flaws = {"*", "TRUNCATED", "UNPARSED", "CLOCK_ERROR"};
        return path + ":" + g_.OneOf(flaws);
      }
      default:
        return path + ":*";
    }
  }

  Generator& g_;
  std::vector<const archive::EventColumn*> columns_;
};

TEST(FilterAndStore, AgreeOnRandomFiltersOverRandomEvents) {
  testing::EventStore store;
  const EventTable table;
  ASSERT_THAT(archive::Migrate(store.client(), table, Logger::Null()), IsOk());
  Generator g(20261122);
  std::vector<event::v1::Event> events;
  event::BatchBuilder builder({"acme", "batch", kStart});
  for (int i = 0; i < kEvents; ++i) {
    events.push_back(RandomEvent(g, i));
    builder.Add(events.back());
  }
  const std::string payload = builder.Finish();
  auto batch = archive::BatchRows::Open(payload);
  ASSERT_THAT(batch, IsOk());
  // The table has a time to live: rows must not be gone before they are read.
  batch->KeepFor(std::chrono::system_clock::now() - kStart + std::chrono::hours(24 * 365));
  archive::EventBlock block(table);
  block.Add(*batch);
  std::string body;
  for (const std::string& piece : block.Take()) body += piece;
  ASSERT_THAT(store.client().Insert({.sql = table.insert_sql()}, body), IsOk());

  FilterWriter writer(g, table);
  size_t matched = 0;
  size_t telling = 0;  // filters that some events pass and some do not
  for (int i = 0; i < kFilters; ++i) {
    // Single terms first: what goes wrong there is easier to read.
    const std::string text = writer.Expression(i < kFilters / 2 ? 0 : 3);
    SCOPED_TRACE(text);
    const auto filter = filter::Filter::Parse(text, filter::EventSchema());
    ASSERT_THAT(filter, IsOk());
    const auto sql = filter->ToSql(table.column_map());
    ASSERT_THAT(sql, IsOk());
    const auto found = store.client().Select(
        {.sql = "SELECT id FROM yagura.events WHERE " + sql->where, .parameters = sql->parameters});
    ASSERT_THAT(found, IsOk()) << sql->where;
    std::set<std::string> from_store;
    for (const auto& row : found->rows) from_store.insert(row[0].AsText());
    std::set<std::string> from_messages;
    for (const auto& event : events) {
      if (filter->Matches(event)) from_messages.insert(event.id());
    }
    matched += from_messages.size();
    telling += from_messages.empty() || from_messages.size() == events.size() ? 0 : 1;
    if (from_store == from_messages) continue;
    for (const auto& event : events) {
      if (from_store.contains(event.id()) == from_messages.contains(event.id())) continue;
      ADD_FAILURE() << (from_store.contains(event.id()) ? "only the store finds "
                                                        : "the store misses ")
                    << event.ShortDebugString() << "\n"
                    << sql->where;
      break;
    }
    if (::testing::Test::HasFailure()) break;
  }
  // The comparison is worth something only where filters divide the events.
  EXPECT_GT(telling, kFilters / 2);
  EXPECT_GT(matched, 0U);
}

}  // namespace
}  // namespace yagura
