// The client against a real yagura-store.
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/eventstore/client.h"
#include "common/eventstore/row_binary.h"
#include "common/testing/event_store.h"
#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "common/testing/status_matchers.h"

namespace yagura::eventstore {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

constexpr std::string_view kTable =
    "CREATE TABLE default.numbers (n UInt64, s String) ENGINE = MergeTree ORDER BY n "
    "SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, "
    "fsync_part_directory = 1";

class StoreTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { store_ = new testing::EventStore; }
  static void TearDownTestSuite() {
    delete store_;
    store_ = nullptr;
  }
  void SetUp() override {
    store_->AwaitUp();
    ASSERT_THAT(client().Execute({.sql = "DROP TABLE IF EXISTS default.numbers SYNC"}), IsOk());
    ASSERT_THAT(client().Execute({.sql = std::string(kTable)}), IsOk());
  }

  static Client& client() { return store_->client(); }

  static uint64_t Count(const std::string& what = "count()") {
    const auto table =
        client().Select({.sql = fmt::format("SELECT toUInt64({}) FROM default.numbers", what)});
    EXPECT_THAT(table, IsOk());
    return table.ok() ? table->rows[0][0].AsUnsigned() : ~uint64_t{0};
  }

  static std::string Rows(uint64_t first, uint64_t count) {
    RowBinaryWriter out;
    for (uint64_t i = first; i < first + count; ++i) {
      out.Unsigned64(i);
      out.Text(std::string_view("a;\0b", 4));
    }
    return std::string(out.bytes());
  }

  static StatusOr<uint64_t> Insert(std::string_view body, const std::string& token) {
    return client().Insert({.sql = "INSERT INTO default.numbers (n, s) FORMAT RowBinary",
                            .settings = {{"insert_deduplication_token", token}}},
                           body);
  }

  static testing::EventStore* store_;
};
testing::EventStore* StoreTest::store_ = nullptr;

TEST_F(StoreTest, HostileParametersStayValues) {
  const std::vector<std::string> hostile = {
      "' OR 1=1 --",
      "'; DROP TABLE default.numbers; --",
      "\\",
      "\\'",
      "\\\\'; SELECT 1",
      "a\tb\nc\rd",
      std::string("nul\0byte", 8),
      "{x:String}",
      "}}; SYSTEM SHUTDOWN",
      "&query=DROP TABLE default.numbers&max_threads=0",
      "%27%20%00",
      "\xff\xfe not utf-8 \x80",
      "\\N",
      "",
      std::string(100'000, '\''),
  };
  for (const std::string& value : hostile) {
    const auto table =
        client().Select({.sql = "SELECT {x:String} AS value, {x:String} = '' AS is_empty",
                         .parameters = {{"x", value}}});
    ASSERT_THAT(table, IsOk());
    EXPECT_EQ(table->rows[0][0].text, value);
  }
  const auto array = client().Select(
      {.sql = "SELECT {x:Array(String)}", .array_parameters = {{"x", ArrayParameter(hostile)}}});
  ASSERT_THAT(array, IsOk());
  ASSERT_EQ(array->rows[0][0].items.size(), hostile.size());
  for (size_t i = 0; i < hostile.size(); ++i) {
    EXPECT_EQ(array->rows[0][0].items[i].text, hostile[i]);
  }
  EXPECT_EQ(Count(), 0u) << "the table is still there";
}

TEST_F(StoreTest, HostileSettingsAreRefused) {
  for (const auto& [name, value] : Settings{{"max_threads = 1, max_block_size", "1"},
                                            {"x'", "1"},
                                            {"no_such_setting", "1"},
                                            {"max_threads", "1'; DROP TABLE default.numbers"}}) {
    EXPECT_FALSE(client().Select({.sql = "SELECT 1", .settings = {{name, value}}}).ok()) << name;
  }
  EXPECT_EQ(Count(), 0u);
}

TEST_F(StoreTest, ASettingHoldsForItsRequestAlone) {
  const Query query{.sql = "SELECT getSetting('max_block_size')"};
  Query changed = query;
  changed.settings = {{"max_block_size", "17"}};
  ASSERT_OK_AND_ASSIGN(const auto with, client().Select(changed));
  EXPECT_EQ(with.rows[0][0].AsUnsigned(), 17u);
  ASSERT_OK_AND_ASSIGN(const auto without, client().Select(query));
  EXPECT_NE(without.rows[0][0].AsUnsigned(), 17u);
}

TEST_F(StoreTest, StreamsAMillionRowsInAndOut) {
  constexpr uint64_t kRows = 1'000'000;
  uint64_t next = 0;
  std::string piece;
  const auto source = [&](char* buffer, size_t capacity) -> StatusOr<size_t> {
    if (piece.empty() && next < kRows) {
      piece = Rows(next, 1000);
      next += 1000;
    }
    const size_t size = std::min(capacity, piece.size());
    piece.copy(buffer, size);
    piece.erase(0, size);
    return size;
  };
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_OK_AND_ASSIGN(
      const uint64_t written,
      client().Insert({.sql = "INSERT INTO default.numbers (n, s) FORMAT RowBinary"}, source));
  const auto inserted = std::chrono::steady_clock::now();
  EXPECT_EQ(written, kRows);
  uint64_t rows = 0;
  uint64_t sum = 0;
  ASSERT_THAT(client().Stream({.sql = "SELECT n, s FROM default.numbers"},
                              [&](const Row& row) {
                                ++rows;
                                sum += row[0].AsUnsigned();
                                EXPECT_EQ(row[1].text.size(), 4u);
                                return absl::OkStatus();
                              }),
              IsOk());
  const auto read = std::chrono::steady_clock::now();
  EXPECT_EQ(rows, kRows);
  EXPECT_EQ(sum, kRows * (kRows - 1) / 2);
  using Milliseconds = std::chrono::duration<double, std::milli>;
  RecordProperty("insert_ms", static_cast<int>(Milliseconds(inserted - begin).count()));
  RecordProperty("read_ms", static_cast<int>(Milliseconds(read - inserted).count()));
}

TEST_F(StoreTest, ErrorsHaveTheirNumberAlsoInTheMiddleOfAResult) {
  const auto missing = client().Select({.sql = "SELECT * FROM default.nothing"});
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kFailedPrecondition, "STORE_SCHEMA"));
  EXPECT_EQ(GetErrorMetadata(missing.status())["clickhouse_code"], "60");

  uint64_t rows = 0;
  const Status late = client().Stream(
      {.sql = "SELECT throwIf(number = 500000), number FROM numbers(1000000)"}, [&](const Row&) {
        ++rows;
        return absl::OkStatus();
      });
  EXPECT_GT(rows, 0u);
  EXPECT_EQ(GetErrorMetadata(late)["clickhouse_code"], "395");

  const Status several = client().Execute({.sql = "SELECT 1; DROP TABLE default.numbers"});
  EXPECT_EQ(GetErrorMetadata(several)["clickhouse_code"], "62");
  EXPECT_EQ(Count(), 0u);
}

TEST_F(StoreTest, AVisitorAndAStopEndAQuery) {
  const Query endless{.sql = "SELECT number FROM system.numbers"};
  EXPECT_THAT(client().Stream(endless, [](const Row&) { return absl::DataLossError("enough"); }),
              StatusIs(absl::StatusCode::kDataLoss));
  std::stop_source stop;
  EXPECT_THAT(client().Stream(
                  endless,
                  [&stop](const Row& row) {
                    if (row[0].AsUnsigned() == 1000) stop.request_stop();
                    return absl::OkStatus();
                  },
                  stop.get_token()),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(client().Select(endless, 10),
              StatusIs(absl::StatusCode::kResourceExhausted, "QUERY_TOO_LARGE"));
}

TEST_F(StoreTest, AQueryThatNobodyReadsToItsEndIsKilled) {
  const std::string endless =
      "SELECT sum(sipHash64(number)) FROM numbers(1000000000000) SETTINGS max_threads = 1";
  const auto running = [&] {
    const auto count = client().Select(
        {.sql = "SELECT count() FROM system.processes WHERE query LIKE '%numbers(1000000000000)%' "
                "AND query NOT LIKE '%system.processes%'"});
    return count.ok() ? count->rows[0][0].AsUnsigned() : ~uint64_t{0};
  };
  std::stop_source stop;
  std::jthread watcher([&] {
    testing::Eventually([&] { return running() == 1; });
    stop.request_stop();
  });
  const auto stopped = client().Select(
      {.sql = endless, .settings = {}, .timeout = std::chrono::seconds(60)}, 1, stop.get_token());
  EXPECT_THAT(stopped, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(testing::Eventually([&] { return running() == 0; }, std::chrono::seconds(5)));
}

TEST_F(StoreTest, TheProgressOfAQueryCanBeAsked) {
  const std::string tag = NewQueryTag();
  EXPECT_NE(tag, NewQueryTag());
  std::stop_source stop;
  std::optional<QueryProgress> seen;
  std::jthread watcher([&] {
    testing::Eventually([&] {
      const auto progress = client().ProgressOf(tag);
      if (progress.ok() && progress->has_value() && (*progress)->rows > 0) seen = **progress;
      return seen.has_value();
    });
    stop.request_stop();
  });
  EXPECT_THAT(client().Select({.sql = "SELECT max(sipHash64(number)) FROM numbers(900000000000) "
                                      "SETTINGS max_threads = 1",
                               .timeout = std::chrono::seconds(60),
                               .tag = tag},
                              1, stop.get_token()),
              StatusIs(absl::StatusCode::kCancelled));
  watcher.join();
  ASSERT_TRUE(seen.has_value());
  EXPECT_GT(seen->bytes, seen->rows);
  EXPECT_EQ(seen->total_rows, 900'000'000'000u);
  ASSERT_OK_AND_ASSIGN(const auto none, client().ProgressOf(NewQueryTag()));
  EXPECT_FALSE(none.has_value());
}

TEST_F(StoreTest, ATimeoutEndsAQuery) {
  EXPECT_THAT(client().Select({.sql = "SELECT count() FROM system.numbers WHERE NOT ignore(number)",
                               .timeout = std::chrono::milliseconds(700)}),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "QUERY_TIMEOUT"));
}

TEST_F(StoreTest, TheSameTokenIsInsertedOnce) {
  const std::string body = Rows(0, 1000);
  for (int i = 0; i < 3; ++i) ASSERT_THAT(Insert(body, "range-1"), IsOk());
  EXPECT_EQ(Count(), 1000u);
  ASSERT_THAT(Insert(body, "range-2"), IsOk());
  EXPECT_EQ(Count(), 2000u);
}

TEST_F(StoreTest, AFailedInsertLeavesNothing) {
  EXPECT_FALSE(Insert(Rows(0, 10) + "half a row", "t").ok());
  const auto failing = [calls = 0](char* buffer, size_t capacity) mutable -> StatusOr<size_t> {
    if (++calls > 2) return absl::DataLossError("the source broke");
    const std::string rows = Rows(0, 1000);
    rows.copy(buffer, capacity);
    return std::min(capacity, rows.size());
  };
  EXPECT_THAT(
      client().Insert({.sql = "INSERT INTO default.numbers (n, s) FORMAT RowBinary"}, failing),
      StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(Count(), 0u);
}

TEST_F(StoreTest, SeveralRequestsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&good, t] {
      for (int i = 0; i < 20; ++i) {
        const auto table =
            client().Select({.sql = "SELECT {t:UInt64} * sum(number) FROM numbers(1000)",
                             .parameters = {{"t", std::to_string(t)}}});
        if (table.ok() && table->rows[0][0].AsUnsigned() == static_cast<uint64_t>(t) * 499500)
          ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
}

TEST_F(StoreTest, FailsOverToTheAddressThatAnswers) {
  ClientOptions options;
  options.addresses = {"unix:/nonexistent/socket", "http://127.0.0.1:1", store_->address()};
  Client other(options);
  EXPECT_THAT(other.Select({.sql = "SELECT 1"}), IsOk());
  EXPECT_THAT(
      other.Insert({.sql = "INSERT INTO default.numbers (n, s) FORMAT RowBinary"}, Rows(0, 5)),
      IsOk());
  options.addresses.pop_back();
  Client nobody(options);
  EXPECT_THAT(nobody.Select({.sql = "SELECT 1"}),
              StatusIs(absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN"));
}

TEST_F(StoreTest, AKilledStoreComesBackWithWhatWasCommitted) {
  constexpr uint64_t kBatch = 20'000;
  const int restarts_before = store_->process().restarts();
  for (uint64_t batch = 0; batch < 12; ++batch) {
    const std::string body = Rows(batch * kBatch, kBatch);
    std::thread killer;
    if (batch % 3 == 1) {
      killer = std::thread([batch] {
        std::this_thread::sleep_for(std::chrono::milliseconds(2 * batch));
        store_->KillHard();
      });
    }
    const std::string token = fmt::format("batch-{}", batch);
    while (!Insert(body, token).ok()) store_->AwaitUp();
    if (killer.joinable()) killer.join();
  }
  store_->AwaitUp();
  EXPECT_EQ(Count(), 12 * kBatch);
  EXPECT_EQ(Count("uniqExact(n)"), 12 * kBatch);
  EXPECT_GT(store_->process().restarts(), restarts_before);
}

TEST_F(StoreTest, ASecondStoreOnTheSameFolderIsRefused) {
  const auto log = store_->folder() / "second.log";
  testing::Process second({testing::ProgramPath("yagura-store"), "--data-dir",
                           store_->folder() / "data", "--socket", store_->folder() / "second.sock"},
                          log);
  EXPECT_EQ(second.Wait(), 3);
  StoreProcess::Options options;
  options.program = testing::ProgramPath("yagura-store");
  options.data_dir = store_->folder() / "data";
  options.socket = store_->folder() / "third.sock";
  options.log_file = log;
  EXPECT_THAT(StoreProcess::Start(options, Logger::Null()).status(),
              StatusIs(absl::StatusCode::kUnavailable, "STORE_NOT_STARTED"));
  EXPECT_EQ(Count(), 0u);
}

TEST(StoreLimits, TooLargeAQueryIsAnErrorAndTheStoreLives) {
  testing::EventStore store({.memory_limit_bytes = 400u << 20});
  const pid_t pid = store.process().pid();
  const auto greedy =
      store.client().Select({.sql = "SELECT length(groupArray(number)) FROM numbers(300000000)"});
  EXPECT_THAT(greedy, StatusIs(absl::StatusCode::kResourceExhausted, "QUERY_TOO_LARGE"));
  EXPECT_THAT(store.client().Select({.sql = "SELECT 1"}), IsOk());
  EXPECT_EQ(store.process().pid(), pid);
}

TEST(StoreLife, StopsCleanlyAndKeepsItsData) {
  testing::EventStore store;
  ASSERT_THAT(store.client().Execute(
                  {.sql = "CREATE TABLE default.kept (n UInt64) ENGINE = MergeTree ORDER BY n"}),
              IsOk());
  ASSERT_THAT(store.client().Execute({.sql = "INSERT INTO default.kept VALUES (1), (2)"}), IsOk());
  store.Stop();
  EXPECT_THAT(store.client().Ping(), StatusIs(absl::StatusCode::kUnavailable));
  store.Start();
  ASSERT_OK_AND_ASSIGN(const auto table,
                       store.client().Select({.sql = "SELECT sum(n) FROM default.kept"}));
  EXPECT_EQ(table.rows[0][0].AsUnsigned(), 3u);
}

}  // namespace
}  // namespace yagura::eventstore
