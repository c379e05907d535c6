// Any text as the CSV of an import: it is refused with INVALID_ARGUMENT, or every row is an asset
// of this tenant or says what is wrong with it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/directory/domain/asset_import.h"
#include "services/directory/domain/csv.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace directory = yagura::directory;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const directory::CsvLimits limits{.bytes = 4096, .rows = 20, .columns = 12, .cell_bytes = 200};
  const auto rows = directory::ParseCsv(text, limits);
  if (!rows.ok() && rows.status().code() != absl::StatusCode::kInvalidArgument) std::abort();
  if (rows.ok()) {
    if (rows->size() > limits.rows) std::abort();
    for (const directory::CsvRow& row : *rows) {
      if (row.cells.size() > limits.columns) std::abort();
      for (const auto& cell : row.cells) {
        if (cell.size() > limits.cell_bytes) std::abort();
      }
    }
  }

  const auto table = directory::ReadAssetTable(text, "acme");
  if (!table.ok()) {
    if (table.status().code() != absl::StatusCode::kInvalidArgument) std::abort();
    return 0;
  }
  for (const directory::AssetRow& row : table->rows) {
    if (!row.error.empty()) continue;
    directory::v1::Asset asset;
    directory::ApplyRow(*table, row, asset);
    if (!directory::ApplyRow(*table, row, asset).empty()) std::abort();  // again: nothing changes
    if (!asset.ParseFromString(row.asset.SerializeAsString())) std::abort();
    if (!row.asset.name().empty() && !row.asset.name().starts_with("tenants/acme/assets/")) {
      std::abort();
    }
  }
  return 0;
}
