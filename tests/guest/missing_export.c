// Imports a function that kernel32.dll does not have. Linked with an import library made from missing_export.def.
__declspec(dllimport) int NtenAbsentFunction(int);

int main(void) { return NtenAbsentFunction(1); }
