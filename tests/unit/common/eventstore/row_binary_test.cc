#include "common/eventstore/row_binary.h"

#include <random>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"

namespace yagura::eventstore {
namespace {

using ::testing::ElementsAre;
using testing::IsOk;
using testing::StatusIs;

std::string Header(const std::vector<std::pair<std::string, std::string>>& columns) {
  RowBinaryWriter out;
  out.Count(columns.size());
  for (const auto& column : columns) out.Text(column.first);
  for (const auto& column : columns) out.Text(column.second);
  return std::string(out.bytes());
}

struct Collected {
  std::vector<Row> rows;
  RowBinaryReader reader{[this](const Row& row) {
    rows.push_back(row);
    return absl::OkStatus();
  }};
};

TEST(RowBinary, ReadsWhatItWroteWhereverTheNetCutsIt) {
  RowBinaryWriter out;
  out.Unsigned64(7);
  out.Text(std::string("a\0;\xff", 4));
  out.Count(2);
  out.Text("x");
  out.Text("");
  out.Time(TimePoint(std::chrono::nanoseconds(123)));
  const std::string bytes = Header({{"n", "UInt64"},
                                    {"s", "LowCardinality(String)"},
                                    {"l", "Array(String)"},
                                    {"t", "DateTime64(9, 'UTC')"}}) +
                            std::string(out.bytes()) + std::string(out.bytes());
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    Collected got;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      ASSERT_THAT(got.reader.Feed(std::string_view(bytes).substr(at, piece)), IsOk());
    }
    ASSERT_THAT(got.reader.Finish(), IsOk());
    ASSERT_EQ(got.rows.size(), 2u) << "pieces of " << piece;
    EXPECT_EQ(got.rows[1][0].AsUnsigned(), 7u);
    EXPECT_EQ(got.rows[1][1].text, std::string("a\0;\xff", 4));
    ASSERT_EQ(got.rows[1][2].items.size(), 2u);
    EXPECT_EQ(got.rows[1][2].items[0].text, "x");
    EXPECT_EQ(got.rows[1][3].AsTime().time_since_epoch().count(), 123);
  }
}

TEST(RowBinary, ExtendsSignsAndKnowsNull) {
  Collected got;
  const std::string bytes =
      Header({{"a", "Int8"}, {"b", "Nullable(Int16)"}, {"c", "Enum8('x' = -2)"}}) +
      std::string("\xff\x01\xfe", 3);
  ASSERT_THAT(got.reader.Feed(bytes), IsOk());
  ASSERT_EQ(got.rows.size(), 1u);
  EXPECT_EQ(got.rows[0][0].AsSigned(), -1);
  EXPECT_EQ(got.rows[0][1].kind, Value::Kind::kNull);
  EXPECT_EQ(got.rows[0][2].AsSigned(), -2);
}

TEST(RowBinary, AResultThatStopsWithinARowIsAnError) {
  Collected got;
  ASSERT_THAT(got.reader.Feed(Header({{"a", "UInt64"}}) + "1234"), IsOk());
  EXPECT_THAT(got.reader.Finish(), StatusIs(absl::StatusCode::kInternal, "STORE_PROTOCOL"));
}

TEST(RowBinary, RefusesUnknownTypesAndDeepNesting) {
  std::string deep = "String";
  for (int i = 0; i < 50; ++i) deep = fmt::format("Array({})", deep);
  for (const std::string& type :
       {std::string("Blob"), std::string("Array()"), std::string("Tuple()"), std::string("(("),
        deep, std::string("FixedString(0)"), std::string("DateTime64(99)")}) {
    Collected got;
    EXPECT_THAT(got.reader.Feed(Header({{"a", type}})), StatusIs(absl::StatusCode::kInternal))
        << type;
  }
}

TEST(RowBinary, NoiseNeverDoesHarm) {
  std::mt19937 random(20261122);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes =
        Header({{"a", "Map(String, Array(UInt8))"}, {"b", "Tuple(x UInt8, String)"}});
    const size_t size = random() % 200;
    for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(random() % 256);
    Collected got;
    if (got.reader.Feed(bytes).ok()) (void)got.reader.Finish();
  }
}

}  // namespace
}  // namespace yagura::eventstore
