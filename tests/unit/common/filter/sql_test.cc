#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/filter/filter.h"
#include "common/status/status.h"

namespace yagura::filter {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

ColumnMap Columns() {
  ColumnMap map;
  map.columns = {{"user", {"user", ColumnType::kString}},
                 {"src.ip", {"src_ip", ColumnType::kIp}},
                 {"src.port", {"src_port", ColumnType::kInteger}},
                 {"severity", {"severity", ColumnType::kInteger}},
                 {"event_time", {"event_time", ColumnType::kTime}},
                 {"flaws", {"bitPositionsToArray(flaws)", ColumnType::kIntegerArray}}};
  map.keyed = {{"fields", "fields[$name]"}};
  map.search = {"lower(raw)"};
  return map;
}

Sql Compile(std::string_view text) {
  const auto filter = Filter::Parse(text, EventSchema());
  EXPECT_TRUE(filter.ok()) << filter.status();
  auto sql = filter->ToSql(Columns());
  EXPECT_TRUE(sql.ok()) << sql.status();
  return sql.ok() ? *sql : Sql{};
}

TEST(FilterSql, BindsEveryValue) {
  const Sql sql = Compile("user = \"x'); DROP TABLE events --\" OR src.port >= 1024");
  EXPECT_EQ(sql.where, "((user = {p0:String}) OR (src_port >= {p1:UInt64}))");
  EXPECT_THAT(sql.parameters,
              ElementsAre(Pair("p0", "x'); DROP TABLE events --"), Pair("p1", "1024")));
}

TEST(FilterSql, EscapesPatterns) {
  const Sql literal = Compile("100%_\\\\X");
  EXPECT_EQ(literal.where, "((lower(raw) LIKE {p0:String}))");
  EXPECT_THAT(literal.parameters, ElementsAre(Pair("p0", "%100\\%\\_\\\\x%")));

  const Sql prefix = Compile("user = 100%* AND -user = *.exe");
  EXPECT_EQ(prefix.where,
            "((startsWith(user, {p0:String})) AND (NOT (endsWith(user, {p1:String}))))");
  EXPECT_THAT(prefix.parameters, ElementsAre(Pair("p0", "100%"), Pair("p1", ".exe")));

  const Sql inner = Compile("user = a.*b AND user:x*y");
  EXPECT_EQ(inner.where,
            "((match(user, {p0:String})) AND ((match(lower(user), {p1:String})) OR "
            "(length(user) != lengthUTF8(user) AND (match(normalizeUTF8NFKC(caseFoldUTF8("
            "normalizeUTF8NFKC(toValidUTF8(user)))), {p2:String})))))");
  EXPECT_THAT(inner.parameters,
              ElementsAre(Pair("p0", "^a\\.\\C*b$"), Pair("p1", "x\\C*y"), Pair("p2", "x\\C*y")));
}

TEST(FilterSql, BindsTheNamesOfOriginalFields) {
  const Sql sql = Compile("fields.\"a'b\" = x");
  EXPECT_EQ(sql.where, "(fields[{p0:String}] = {p1:String})");
  EXPECT_THAT(sql.parameters, ElementsAre(Pair("p0", "a'b"), Pair("p1", "x")));
}

TEST(FilterSql, ComparesAddressesAsIpv6) {
  const Sql sql = Compile("src.ip = 10.0.0.0/8");
  EXPECT_EQ(sql.where, "(src_ip != toIPv6('::') AND src_ip >= {p0:IPv6} AND src_ip <= {p1:IPv6})");
  EXPECT_THAT(sql.parameters,
              ElementsAre(Pair("p0", "::ffff:10.0.0.0"), Pair("p1", "::ffff:10.255.255.255")));
}

TEST(FilterSql, EmptyFilterIsTrue) {
  const Sql sql = Compile("");
  EXPECT_EQ(sql.where, "(1)");
  EXPECT_THAT(sql.parameters, IsEmpty());
}

TEST(FilterSql, RefusesWhatHasNoColumn) {
  const auto sql = Filter::Parse("dst.port = 1", EventSchema())->ToSql(Columns());
  EXPECT_EQ(ErrorReason(sql.status()), "FILTER_NOT_SEARCHABLE");
  EXPECT_EQ(GetErrorMetadata(sql.status()).at("field"), "dst.port");
}

}  // namespace
}  // namespace yagura::filter
