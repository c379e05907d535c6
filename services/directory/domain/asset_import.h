#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "yagura/directory/v1/directory_service.pb.h"

namespace yagura::directory {

// One row of an import: an asset with the cells that the row has.
struct AssetRow {
  int line = 0;
  v1::Asset asset;    // with its name where the row has one
  std::string error;  // empty: the row can be used
};

struct AssetTable {
  std::set<std::string> fields;  // of Asset, that some column fills
  std::vector<AssetRow> rows;
};

// Reads the CSV of an import; see ImportAssetsRequest.csv. INVALID_ARGUMENT where the table as a
// whole cannot be used; a bad row has its error.
absl::StatusOr<AssetTable> ReadAssetTable(std::string_view csv, std::string_view tenant);

// Puts the fields that the table fills into `asset`; the names of those that change.
std::vector<std::string> ApplyRow(const AssetTable& table, const AssetRow& row, v1::Asset& asset);

}  // namespace yagura::directory
