#include "services/ingestion/workers/enrichment_refresher.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"

#include "common/testing/process.h"
#include "tests/unit/services/ingestion/enrichment/mmdb_writer.h"

namespace yagura::ingestion {
namespace {

// A file that is written in place is read half-way: that it looks the same afterwards (a coarse
// clock, a length that was known before) must not keep it out for ever.
TEST(EnrichmentRefresherTest, AFileThatCouldNotBeReadIsTriedAgain) {
  const std::filesystem::path folder = testing::MakeTemporaryFolder();
  const auto file = folder / "countries.mmdb";
  MmdbWriter countries;
  countries.Add("203.0.113.0/24", {{"country", MmdbWriter::Map{{"iso_code", "JP"}}}});
  countries.Write(file);
  const auto size = std::filesystem::file_size(file);
  std::ofstream(file, std::ios::binary) << std::string(size, 'x');
  const auto time = std::filesystem::last_write_time(file);
  const auto current = std::make_shared<CurrentEnrichment>();
  EnrichmentRefresher refresher({.threat_lists = {}, .geo_files = {file}}, nullptr, current,
                                Logger::Null());
  refresher.RefreshFiles();
  ASSERT_TRUE(current->Get() == nullptr || current->Get()->geo.empty());
  countries.Write(file);
  std::filesystem::last_write_time(file, time);
  refresher.RefreshFiles();
  ASSERT_NE(current->Get(), nullptr);
  EXPECT_EQ(current->Get()->geo.size(), 1u);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace yagura::ingestion
