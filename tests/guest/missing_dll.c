// Imports a function of a DLL that is not there: the loader must say so. Linked with an import library made from
// missing_dll.def.
__declspec(dllimport) int nten_absent(int);

int main(void) { return nten_absent(1); }
