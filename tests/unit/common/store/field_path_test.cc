#include "common/store/field_path.h"

#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/wrappers.pb.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"
#include "yagura/directory/v1/asset.pb.h"
#include "yagura/directory/v1/source.pb.h"
#include "yagura/directory/v1/tenant.pb.h"

namespace yagura::store {
namespace {

using directory::v1::Asset;
using directory::v1::Source;
using directory::v1::Tenant;
using ::testing::IsEmpty;
using ::testing::SizeIs;

FieldPath Path(const google::protobuf::Descriptor* descriptor, std::string_view path) {
  auto resolved = FieldPath::Resolve(descriptor, path);
  EXPECT_THAT(resolved, testing::IsOk());
  return *resolved;
}

TEST(FieldPathTest, TextKeepsItsOrder) {
  const auto path = Path(Asset::descriptor(), "host_name");
  const std::vector<std::string> ordered = {"",
                                            std::string("\0", 1),
                                            std::string("\0\0", 2),
                                            "\1",
                                            "a",
                                            std::string("a\0", 2),
                                            "a\1",
                                            "a\1z",
                                            "a\2",
                                            "ab",
                                            "b",
                                            "日本",
                                            "\xf4\x8f\xbf\xbf"};
  std::string last;
  for (const auto& text : ordered) {
    Asset asset;
    asset.set_host_name(text);
    const auto encoded = path.Encode(asset);
    ASSERT_THAT(encoded, SizeIs(1));
    EXPECT_LT(last, encoded.front() + "tail") << text;
    EXPECT_EQ(path.EncodeText(text), encoded.front());
    last = encoded.front() + "tail";
  }
}

TEST(FieldPathTest, IntegersKeepTheirOrderAcrossZero) {
  const auto path = Path(Tenant::descriptor(), "retention_days");
  std::string last;
  for (const int32_t value : {std::numeric_limits<int32_t>::min(), -256, -1, 0, 1, 255, 256, 65536,
                              std::numeric_limits<int32_t>::max()}) {
    Tenant tenant;
    tenant.set_retention_days(value);
    const auto encoded = path.Encode(tenant).front();
    EXPECT_LT(last, encoded) << value;
    EXPECT_EQ(path.EncodeText(std::to_string(value)), encoded);
    last = encoded;
  }
}

TEST(FieldPathTest, FloatsKeepTheirOrderAcrossZero) {
  const auto path = Path(google::protobuf::DoubleValue::descriptor(), "value");
  std::string last;
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double number :
       {-infinity, -1e300, -1.5, -1e-300, 0.0, 1e-300, 1.5, 1e300, infinity}) {
    google::protobuf::DoubleValue value;
    value.set_value(number);
    const auto encoded = path.Encode(value).front();
    EXPECT_LT(last, encoded) << number;
    last = encoded;
  }
}

TEST(FieldPathTest, TimesKeepTheirOrderAndNanoseconds) {
  const auto path = Path(Asset::descriptor(), "create_time");
  std::string last;
  for (const auto& [seconds, nanos] : std::vector<std::pair<int64_t, int32_t>>{
           {-5, 0}, {0, 0}, {0, 1}, {1, 0}, {1, 999'999'999}, {1LL << 33, 0}}) {
    Asset asset;
    asset.mutable_create_time()->set_seconds(seconds);
    asset.mutable_create_time()->set_nanos(nanos);
    const auto encoded = path.Encode(asset).front();
    EXPECT_LT(last, encoded);
    last = encoded;
  }
}

TEST(FieldPathTest, ARepeatedPathGivesItsDistinctValues) {
  Asset asset;
  const auto products = Path(Asset::descriptor(), "products");
  EXPECT_TRUE(products.repeated());
  EXPECT_THAT(products.Encode(asset), IsEmpty());
  for (const char* product : {"b", "a", "b"}) asset.add_products(product);
  EXPECT_THAT(products.Encode(asset), SizeIs(2));
  asset.add_addresses()->set_site("tokyo");
  EXPECT_THAT(Path(Asset::descriptor(), "addresses.site").Encode(asset), SizeIs(1));
}

TEST(FieldPathTest, NestedFieldsAreReachedAndDefaultsWhereTheyAreNotSet) {
  const auto path = Path(Source::descriptor(), "match.device_serial");
  Source source;
  EXPECT_EQ(path.Encode(source).front(), std::string(1, '\0'));
  source.mutable_match()->set_device_serial("FG1");
  EXPECT_EQ(path.Encode(source).front(), std::string("FG1\0", 4));
}

TEST(FieldPathTest, WhatHasNoOrderIsRefused) {
  for (const char* bad : {"", "nothing", "addresses", "host_name.x", "create_time.seconds", "."}) {
    EXPECT_THAT(FieldPath::Resolve(Asset::descriptor(), bad),
                testing::StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
}

}  // namespace
}  // namespace yagura::store
