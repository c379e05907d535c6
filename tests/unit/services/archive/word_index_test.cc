// The indexes that bare words are found by: what they skip, and that they never miss.
#include "services/archive/domain/word_index.h"

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/clock.h"
#include "common/clock/proto_time.h"
#include "common/eventstore/client.h"
#include "common/filter/filter.h"
#include "common/filter/schema.h"
#include "common/testing/event_store.h"
#include "common/testing/eventually.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "common/text/ascii.h"
#include "common/text/fold.h"
#include "common/text/text.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/storage/migrations.h"
#include "services/archive/storage/tiering.h"
#include "services/archive/storage/word_indexer.h"

namespace yagura::archive {
namespace {

using testing::IsOk;

constexpr std::string_view kDay = "2026-03-01";
constexpr int kFillers = 200'000;
constexpr std::chrono::seconds kAtOnce{0};
const TimePoint kNextDay = *ParseTime("2026-03-02T00:00:00Z");

class WordIndexTest : public ::testing::Test {
 protected:
  WordIndexTest() {
    EXPECT_THAT(Migrate(store_.client(), table_, Logger::Null(), store_.cluster()), IsOk());
  }

  // Lines that have no letters behind "line", so that most words are in none of them.
  void Fill(std::string_view day, int count) {
    Insert(
        fmt::format("SELECT 'acme', toString(number), toDateTime64('{} 06:00:00', 9, 'UTC') + "
                    "number / 10, concat('line ', toString(cityHash64(number))), '', "
                    "'2100-01-01' FROM numbers({})",
                    day, count));
  }

  // Whatever bytes the line has; among the others by its time.
  void Plant(const std::string& raw, int at) {
    Insert(
        fmt::format("SELECT 'acme', 'planted-{0}', toDateTime64('{1} 06:00:00', 9, 'UTC') + "
                    "{0} / 10, unhex('{2}'), unhex('{3}'), '2100-01-01'",
                    at, kDay, HexEncode(raw), HexEncode(IsAscii(raw) ? "" : Fold(raw))));
  }

  void Insert(const std::string& select) {
    ASSERT_THAT(
        store_.client().Execute(
            {.sql = "INSERT INTO yagura.events (tenant, id, receive_time, raw, folded, expires) " +
                    select,
             .settings = {{"exclude_materialize_skip_indexes_on_insert", WordIndexNames()}}}),
        IsOk());
  }

  // One part, as after a while.
  void Merge() {
    ASSERT_THAT(store_.client().Execute({.sql = "OPTIMIZE TABLE yagura.events FINAL"}), IsOk());
  }

  std::string Next(TimePoint now) {
    const auto day = indexer_.Next(now);
    return day.ok() ? *day : day.status().ToString();
  }

  void AwaitMade() {
    ASSERT_TRUE(testing::Eventually([this] {
      return Number(
                 "SELECT countIf(NOT is_done) FROM "
                 "system.mutations") == 0;
    }));
  }

  uint64_t Number(const std::string& sql) {
    const auto found = store_.client().Select({.sql = sql});
    EXPECT_THAT(found, IsOk());
    return found.ok() ? found->rows.at(0).at(0).AsUnsigned() : 0;
  }

  uint64_t Ask(const std::string& text, const std::string& select, bool indexes) {
    const auto filter = filter::Filter::Parse(text, filter::EventSchema());
    EXPECT_THAT(filter, IsOk());
    const auto sql = filter->ToSql(table_.column_map());
    EXPECT_THAT(sql, IsOk());
    eventstore::Query query{.sql = fmt::format(fmt::runtime(select), sql->where),
                            .parameters = sql->parameters};
    query.settings = {{"use_skip_indexes", indexes ? "1" : "0"},
                      {"use_skip_indexes_on_data_read", "0"}};
    const auto found = store_.client().Select(query);
    EXPECT_THAT(found, IsOk());
    return found.ok() ? found->rows.at(0).at(0).AsUnsigned() : 0;
  }
  uint64_t Found(const std::string& word, bool indexes = true,
                 const std::string& table = "yagura.events") {
    return Ask(Quoted(word), "SELECT count() FROM " + table + " WHERE {}", indexes);
  }
  // Rows that the store would look into.
  uint64_t LookedInto(const std::string& word, const std::string& table = "yagura.events") {
    return Ask(
        Quoted(word),
        "SELECT sum(rows) FROM (EXPLAIN ESTIMATE SELECT count() FROM " + table + " WHERE {})",
        true);
  }

  static std::string Quoted(const std::string& word) {
    std::string quoted;
    for (const char c : word) {
      if (c == '"' || c == '\\' || c == '*') quoted += '\\';
      quoted += c;
    }
    return fmt::format("\"{}\"", quoted);
  }

  // Of a process.
  WordIndexer IndexerOf(const std::string& process, std::chrono::seconds settle = kAtOnce,
                        std::chrono::milliseconds lease = std::chrono::minutes(5)) {
    return WordIndexer(client_, JobLease(state_, "y:{-}:archive:words-lease", process, lease),
                       settle);
  }

  testing::EventStore store_;
  testing::RedisServer redis_;
  const EventTable table_;
  const std::shared_ptr<eventstore::Client> client_{&store_.client(), [](auto*) {}};
  const std::shared_ptr<redis::Pool> state_ = redis_.NewPool();
  WordIndexer indexer_ = IndexerOf("one");
};

TEST_F(WordIndexTest, SkipsWhatHasNoneOfAWordOnceTheDayIsOver) {
  Fill(kDay, kFillers);
  Plant("a line with Mimikatz in it", 100'000);
  Plant("通信を遮断しました", 150'000);
  Merge();
  EXPECT_EQ(LookedInto("mimikatz"), kFillers + 2);
  EXPECT_EQ(Next(*ParseTime("2026-03-01T23:59:59Z")), "");
  EXPECT_EQ(Next(kNextDay), "20260301");
  AwaitMade();
  for (const std::string word : {"mimikatz", "imika", "遮断", "ました", "nowhere at all"}) {
    EXPECT_EQ(Found(word), word == "nowhere at all" ? 0 : 1) << word;
    EXPECT_LE(LookedInto(word), 8'192U) << word;
  }
  // Nothing is left to do, also for one who begins anew.
  EXPECT_EQ(Next(kNextDay), "");
  EXPECT_EQ(IndexerOf("one").Next(kNextDay).value(), "");
}

TEST_F(WordIndexTest, MakesThemAnewWhereMuchCameLater) {
  // Or what came later would at times be merged with the rest, and at times not.
  ASSERT_THAT(store_.client().Execute({.sql = "ALTER TABLE yagura.events MODIFY SETTING "
                                              "max_bytes_to_merge_at_max_space_in_pool = 1"}),
              IsOk());
  Fill(kDay, 100'000);
  Fill("2026-03-02", 1'000);
  EXPECT_EQ(Next(*ParseTime("2026-03-03T02:00:00Z")), "20260302");
  AwaitMade();
  EXPECT_EQ(Next(*ParseTime("2026-03-03T02:00:00Z")), "20260301");
  AwaitMade();
  Fill(kDay, 3'000);
  EXPECT_EQ(Next(*ParseTime("2026-03-04T02:00:00Z")), "");
  Fill(kDay, 20'000);
  EXPECT_EQ(Next(*ParseTime("2026-03-04T02:00:00Z")), "20260301");
  AwaitMade();
  Fill(kDay, 20'000);
  // Once a day is enough.
  EXPECT_EQ(Next(*ParseTime("2026-03-04T02:00:00Z")), "");
  EXPECT_EQ(Next(*ParseTime("2026-03-05T02:00:00Z")), "20260301");
  AwaitMade();
  EXPECT_EQ(Next(*ParseTime("2026-03-06T02:00:00Z")), "");
}

std::string IndexOf(const WordIndex& index) {
  return fmt::format("INDEX {} {} TYPE {} GRANULARITY 1", index.name, index.expression, index.type);
}

TEST_F(WordIndexTest, NeverMissesAWordAmongAnyBytes) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  const std::vector<std::string> words = {"logon",  "a%b_c\\d", "10.2.3.4", "失敗",
                                          "ｶﾀｶﾅ",   "カタカナ", "ＡＢＣＤ", "straße",
                                          "x'y\"z", "🙂ok",   "Ab1"};
  // Leads of longer characters, continuations, quite wrong bytes, code page 932.
  const std::vector<std::string> around = {
      "\xE3",     "\xF0\x9F", "\x81", "\xFF", "\xC2", "\x8E\xB8",          "\xF0",
      "\xE3\x81", "\xF4\x90", "a",    " ",    "東",   std::string(1, '\0')};
  const auto pick = [&random](const auto& list) { return list[random() % list.size()]; };
  ASSERT_THAT(store_.client().Execute(
                  {.sql = fmt::format(
                       "CREATE TABLE yagura.lines (number UInt32, src_ip IPv6, raw String, "
                       "folded String, {}, {}, {}) ENGINE = MergeTree ORDER BY "
                       "number SETTINGS index_granularity = 1",
                       IndexOf(kRawIndexes[0]), IndexOf(kRawIndexes[1]), IndexOf(kFoldedIndex))}),
              IsOk());
  std::string rows;
  constexpr int kLines = 1'000;
  for (int i = 0; i < kLines; ++i) {
    std::string raw;
    for (int piece = 0; piece < 6; ++piece) raw += random() % 4 == 0 ? pick(words) : pick(around);
    rows += fmt::format("{}({}, toIPv6('10.0.0.{}'), unhex('{}'), unhex('{}'))", i == 0 ? "" : ", ",
                        i, i % 9, HexEncode(raw), HexEncode(IsAscii(raw) ? "" : Fold(raw)));
  }
  ASSERT_THAT(store_.client().Execute({.sql = "INSERT INTO yagura.lines VALUES " + rows}), IsOk());
  for (const auto& word : words) {
    SCOPED_TRACE(word);
    const uint64_t all = Found(word, false, "yagura.lines");
    EXPECT_GT(all, 20U);
    EXPECT_EQ(Found(word, true, "yagura.lines"), all);
    // Or the indexes were not asked at all; of fewer than four characters of ASCII they know
    // nothing.
    if (word.size() >= 4) {
      EXPECT_LT(LookedInto(word, "yagura.lines"), kLines / 2);
    }
  }
  for (const std::string_view form :
       {"{} AND {}", "{} OR {}", "NOT {} AND {}", "NOT ({} OR {})", "{} AND NOT ({} AND number)",
        "(src.ip = 10.0.0.1 OR {}) AND {}"}) {
    for (int i = 0; i < 10; ++i) {
      const std::string text =
          fmt::format(fmt::runtime(form), Quoted(pick(words)), Quoted(pick(words)));
      SCOPED_TRACE(text);
      constexpr std::string_view kCount = "SELECT count() FROM yagura.lines WHERE {}";
      EXPECT_EQ(Ask(text, std::string(kCount), true), Ask(text, std::string(kCount), false));
    }
  }
}

// Whose n-grams fill the filters: nothing can be skipped, but the indexes are there.
TEST_F(WordIndexTest, LinesOfChanceAreNotIndexedForEver) {
  Insert(
      fmt::format("SELECT 'acme', toString(number), toDateTime64('{} 06:00:00', 9, 'UTC'), "
                  "randomPrintableASCII(2000), '', '2100-01-01' FROM numbers(20000)",
                  kDay));
  EXPECT_EQ(Next(kNextDay), "20260301");
  AwaitMade();
  EXPECT_GT(LookedInto("nowhere at all"), 8'192U);
  EXPECT_EQ(IndexerOf("one").Next(kNextDay).value(), "");
}

TEST_F(WordIndexTest, WaitsUntilNothingOfADayComesOrIsMergedAnyMore) {
  Fill(kDay, 1'000);
  EXPECT_EQ(
      IndexerOf("one", std::chrono::hours(1)).Next(*ParseTime("2026-03-09T00:00:00Z")).value(), "");
  EXPECT_EQ(Next(kNextDay), "20260301");
}

TEST_F(WordIndexTest, OfSeveralProcessesOneBeginsDaysUntilItIsGone) {
  Fill(kDay, 1'000);
  Fill("2026-03-02", 1'000);
  Fill("2026-03-03", 1'000);
  const TimePoint now = *ParseTime("2026-03-04T00:00:00Z");
  WordIndexer other = IndexerOf("two");
  EXPECT_EQ(Next(now), "20260303");
  AwaitMade();
  EXPECT_EQ(other.Next(now).value(), "");
  // It looks for the last time, as its lease has it.
  WordIndexer last = IndexerOf("one", kAtOnce, std::chrono::milliseconds(1));
  EXPECT_EQ(last.Next(now).value(), "20260302");
  AwaitMade();
  std::string day;
  EXPECT_TRUE(testing::Eventually([&] { return !(day = other.Next(now).value()).empty(); }));
  EXPECT_EQ(day, "20260301");
  AwaitMade();
}

// Which would take what was made away.
TEST_F(WordIndexTest, WaitsUntilTheDaysTextsAreCompressedAgain) {
  ASSERT_THAT(ApplyTiering(store_.client(), {}, Logger::Null()), IsOk());
  ASSERT_THAT(store_.client().Execute({.sql = "SYSTEM STOP MERGES yagura.events"}), IsOk());
  Fill(kDay, 20'000);
  Plant("a line with Mimikatz in it", 1'000);
  EXPECT_EQ(Next(kNextDay), "");
  ASSERT_THAT(store_.client().Execute({.sql = "SYSTEM START MERGES yagura.events"}), IsOk());
  ASSERT_TRUE(testing::Eventually([this] {
    return Number(
               "SELECT countIf(default_compression_codec != 'ZSTD(9)') FROM system.parts WHERE "
               "table = 'events' AND active") == 0;
  }));
  EXPECT_EQ(Next(kNextDay), "20260301");
  AwaitMade();
  EXPECT_EQ(LookedInto("nowhere at all"), 0);
  EXPECT_EQ(Found("mimikatz"), 1);
  // Of a table that is not to be compressed again, nothing is waited for.
  Fill("2026-03-02", 1'000);
  ASSERT_THAT(store_.client().Execute({.sql = "SYSTEM STOP MERGES yagura.events"}), IsOk());
  Fill("2026-03-02", 1'000);
  ASSERT_THAT(ApplyTiering(store_.client(), {.recompress = false}, Logger::Null()), IsOk());
  EXPECT_EQ(Next(*ParseTime("2026-03-03T02:00:00Z")), "20260302");
}

TEST_F(WordIndexTest, WhatAMergeTookAwayComesAgainTheNextDay) {
  Fill(kDay, 50'000);
  EXPECT_EQ(Next(kNextDay), "20260301");
  AwaitMade();
  EXPECT_EQ(LookedInto("nowhere at all"), 0);
  Fill(kDay, 1);
  Merge();
  EXPECT_EQ(LookedInto("nowhere at all"), 50'001);
  EXPECT_EQ(Next(kNextDay), "");
  EXPECT_EQ(Next(*ParseTime("2026-03-03T00:00:00Z")), "20260301");
  AwaitMade();
  EXPECT_EQ(LookedInto("nowhere at all"), 0);
}

TEST_F(WordIndexTest, AddressesInAnyColumnAreReadFromTheirGranules) {
  Fill(kDay, kFillers);
  ASSERT_THAT(
      store_.client().Execute(
          {.sql = "INSERT INTO yagura.events (tenant, id, receive_time, raw, "
                  "dst_translated_ip, expires) SELECT 'acme', 'x', toDateTime64('2026-03-01 "
                  "07:00:00', 9, 'UTC'), 'x', toIPv6('203.0.113.9'), '2100-01-01'"}),
      IsOk());
  Merge();
  const auto looked = [this](const std::string& where) {
    return Number(
        "SELECT sum(rows) FROM (EXPLAIN ESTIMATE SELECT count() FROM yagura.events WHERE " + where +
        ") SETTINGS use_skip_indexes_on_data_read = 0");
  };
  EXPECT_EQ(Number("SELECT count() FROM yagura.events WHERE src_ip = toIPv6('203.0.113.9') OR "
                   "dst_ip = toIPv6('203.0.113.9') OR src_translated_ip = toIPv6('203.0.113.9') OR "
                   "dst_translated_ip = toIPv6('203.0.113.9')"),
            1);
  EXPECT_LE(looked("src_ip = toIPv6('203.0.113.9') OR dst_ip = toIPv6('203.0.113.9') OR "
                   "src_translated_ip = toIPv6('203.0.113.9') OR dst_translated_ip = "
                   "toIPv6('203.0.113.9')"),
            8'192U);
}

}  // namespace
}  // namespace yagura::archive
