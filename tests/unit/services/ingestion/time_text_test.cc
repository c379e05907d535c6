#include "services/ingestion/domain/time_text.h"

#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/parse_line.h"

namespace yagura::ingestion {
namespace {

std::string Bsd(std::string_view text, std::string_view receive_time, std::string_view zone = "") {
  const auto time = TakeBsdTime(text, At(receive_time), SourceZone::Find(zone).value());
  return time ? FormatTime(*time) + "|" + std::string(text) : "none";
}

TEST(TimeTextTest, TheYearIsTheRightOneAlsoAcrossNewYear) {
  EXPECT_EQ(Bsd("Nov 21 09:15:42 x", "2026-11-21T09:20:00Z"), "2026-11-21T09:15:42Z| x");
  EXPECT_EQ(Bsd("Dec 31 23:59:58", "2027-01-01T00:00:03Z"), "2026-12-31T23:59:58Z|");
  EXPECT_EQ(Bsd("Jan  1 00:00:01", "2026-12-31T23:59:59Z"), "2027-01-01T00:00:01Z|");
  EXPECT_EQ(Bsd("Feb 29 12:00:00", "2028-03-01T00:00:00Z"), "2028-02-29T12:00:00Z|");
}

TEST(TimeTextTest, ATimeWithoutAYearIsNeverMoreThanADayAhead) {
  EXPECT_EQ(Bsd("May 20 12:00:00", "2026-11-23T18:00:00Z"), "2026-05-20T12:00:00Z|");
  EXPECT_EQ(Bsd("Jan 20 12:00:00", "2026-11-23T18:00:00Z"), "2026-01-20T12:00:00Z|");
  EXPECT_EQ(Bsd("Nov 25 12:00:00", "2026-11-23T18:00:00Z"), "2025-11-25T12:00:00Z|");
  EXPECT_EQ(Bsd("Nov 24 12:00:00", "2026-11-23T18:00:00Z"), "2026-11-24T12:00:00Z|");
  EXPECT_EQ(Bsd("Dec 31 23:59:00", "2027-01-01T00:01:00Z"), "2026-12-31T23:59:00Z|");
  EXPECT_EQ(Bsd("Jan  1 00:00:10", "2026-12-31T23:59:59Z"), "2027-01-01T00:00:10Z|");
  EXPECT_EQ(Bsd("Feb 29 12:00:00", "2027-02-10T00:00:00Z"), "none");
}

TEST(TimeTextTest, TheDialectsOfRfc3164) {
  EXPECT_EQ(Bsd("Nov  1 09:15:42", "2026-11-21T09:20:00Z"), "2026-11-01T09:15:42Z|");
  EXPECT_EQ(Bsd("Nov 1 09:15:42", "2026-11-21T09:20:00Z"), "2026-11-01T09:15:42Z|");
  EXPECT_EQ(Bsd("Nov 21 09:15:42.123", "2026-11-21T09:20:00Z"), "2026-11-21T09:15:42.123Z|");
  EXPECT_EQ(Bsd("Nov 21 2020 09:15:42", "2026-11-21T09:20:00Z"), "2020-11-21T09:15:42Z|");
  EXPECT_EQ(Bsd("Nov 31 09:15:42", "2026-11-21T09:20:00Z"), "none");
  EXPECT_EQ(Bsd("Nov 21 25:15:42", "2026-11-21T09:20:00Z"), "none");
  EXPECT_EQ(Bsd("November", "2026-11-21T09:20:00Z"), "none");
}

TEST(TimeTextTest, TheSourcesZoneCountsWithItsSummerTime) {
  EXPECT_EQ(Bsd("Nov 21 09:15:42", "2026-11-21T00:16:00Z", "Asia/Tokyo"), "2026-11-21T00:15:42Z|");
  EXPECT_EQ(Bsd("Jul  1 12:00:00", "2026-07-01T10:00:00Z", "Europe/Berlin"),
            "2026-07-01T10:00:00Z|");
  EXPECT_EQ(Bsd("Jan  1 08:59:00", "2027-01-01T00:00:00Z", "Asia/Tokyo"), "2026-12-31T23:59:00Z|");
  EXPECT_FALSE(SourceZone::Find("Mars/Olympus").ok());
}

TEST(TimeTextTest, IsoTimes) {
  const auto iso = [](std::string_view text) {
    bool used = false;
    const auto time = TakeIsoTime(text, SourceZone::Find("Asia/Tokyo").value(), &used);
    return time ? FormatTime(*time) + (used ? " zone" : "") + "|" + std::string(text) : "none";
  };
  EXPECT_EQ(iso("2026-11-21T09:15:42.123456+09:00 x"), "2026-11-21T00:15:42.123456Z| x");
  EXPECT_EQ(iso("2026-11-21T09:15:42Z"), "2026-11-21T09:15:42Z|");
  EXPECT_EQ(iso("2026-11-21 09:15:42"), "2026-11-21T00:15:42Z zone|");
  EXPECT_EQ(iso("2026-11-21T09:15:42-0330"), "2026-11-21T12:45:42Z|");
  EXPECT_EQ(iso("2026:11:21-09:15:42 x"), "2026-11-21T00:15:42Z zone| x");
  EXPECT_EQ(iso("2026-11-21-09:15:42"), "none");
  EXPECT_EQ(iso("2026-02-30T09:15:42Z"), "none");
  EXPECT_EQ(iso("2026-11-21"), "none");
}

TEST(TimeTextTest, EpochsTellTheirUnitByTheirSize) {
  for (const char* text : {"1795220142", "1795220142000", "1795220142000000", "1795220142000000000",
                           "1795220142.000"}) {
    ASSERT_TRUE(ReadEpoch(text)) << text;
    EXPECT_EQ(FormatTime(*ReadEpoch(text)), FormatTime(*ReadEpoch("1795220142"))) << text;
  }
  for (const char* text : {"", "abc", "-5", "0", "1795220142x", "99999999999999999999", "1.x"}) {
    EXPECT_FALSE(ReadEpoch(text)) << text;
  }
}

}  // namespace
}  // namespace yagura::ingestion
